// Certificates for tests, made by openssl in a folder that goes with the process, and sockets over TLS.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { RawConnection } from "./raw.mjs";
import { within } from "./util.mjs";

export const FOLDER = mkdtempSync(join(tmpdir(), "ringcast-tls-"));
process.on("exit", () => rmSync(FOLDER, { recursive: true, force: true }));

const openssl = (...args) => execFileSync("openssl", args, { stdio: ["ignore", "pipe", "pipe"] });
const file = (name) => join(FOLDER, name);

openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=ringcast test authority",
  "-addext", "keyUsage=critical,keyCertSign", "-keyout", file("ca.key"), "-out", file("ca.pem"));
export const CA_FILE = file("ca.pem");
export const CA = readFileSync(CA_FILE);

/* A certificate of the test authority: { path (certificate and key in one file), cert, key, pem }. */
export function certificate(name, { names = ["DNS:localhost", "IP:127.0.0.1"], kind = "ec", subject = `/CN=${name}`, as = name, days = 30 } = {}) {
  const [key, request, cert, extensions] = ["key", "csr", "crt", "ext"].map((suffix) => file(`${as}.${suffix}`));
  const algorithm = kind === "rsa" ? ["-newkey", "rsa:2048"] : ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
  openssl("req", ...algorithm, "-nodes", "-subj", subject, "-keyout", key, "-out", request);
  writeFileSync(extensions, names.length > 0 ? `subjectAltName=${names.join(",")}\n` : "");
  openssl("x509", "-req", "-in", request, "-CA", CA_FILE, "-CAkey", file("ca.key"), "-CAcreateserial", "-days", String(days), "-extfile", extensions, "-out", cert);
  const made = { path: file(`${as}.pem`), cert: readFileSync(cert), key: readFileSync(key) };
  made.pem = Buffer.concat([made.cert, made.key]);
  writeFileSync(made.path, made.pem);
  return made;
}

/* The authority's word on a certificate made above, as DER: status "good" or "revoked", good for `days`. */
export function ocspResponse(name, { status = "good", days = 1 } = {}) {
  const [index, response] = [file(`${name}.index`), file(`${name}.response`)];
  const serial = openssl("x509", "-in", file(`${name}.crt`), "-noout", "-serial").toString().trim().split("=")[1];
  const revoked = status === "revoked" ? "240101000000Z" : "";
  writeFileSync(index, `${revoked ? "R" : "V"}\t491231235959Z\t${revoked}\t${serial}\tunknown\t/CN=${name}\n`);
  openssl("ocsp", "-index", index, "-CA", CA_FILE, "-rsigner", CA_FILE, "-rkey", file("ca.key"), "-issuer", CA_FILE, "-cert", file(`${name}.crt`),
    "-ndays", String(days), "-respout", response);
  return readFileSync(response);
}

/* Resolves with a tls.TLSSocket after its handshake. */
export function connectSecure(port, options = {}) {
  const socket = connectTls({ host: "127.0.0.1", port, ca: CA, servername: "localhost", ...options });
  return within(5000, new Promise((done, failed) => {
    socket.once("error", failed);
    socket.once("secureConnect", () => {
      socket.off("error", failed);
      done(socket);
    });
  }), `a TLS connection to port ${port}`);
}

/* The bare bytes of raw.mjs, over TLS. */
export async function connectRawTls(port, options) {
  return new RawConnection(await connectSecure(port, options));
}
