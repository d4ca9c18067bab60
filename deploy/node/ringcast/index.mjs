// For bundlers, and for browsers without one: those run ringcast.js as a module that exports nothing and leaves a global.
import * as client from "./ringcast.js";

const Ringcast = client.default ?? globalThis.Ringcast;
export default Ringcast;
export const RingcastError = Ringcast.Error;
