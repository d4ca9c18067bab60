/* A broker on uWebSockets and its own publish, which speaks ringcast's native JSON protocol in the parts that the load generator
 * uses: a topic for each channel, and one for each client. Also /echo. Members are found by a search for their names, which is
 * less than a JSON parser does. bench/compare/setup builds it against the checkout that UWS names; nothing of it is here.
 * usage: uws PORT        environment: BENCH_TLS=FOLDER with cert.pem and key.pem, BENCH_DEFLATE=1 */
#include <App.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

struct client {
    std::string id;
};

static std::string_view member(std::string_view text, std::string_view name)
{
    const size_t at = text.find(name);
    if (at == std::string_view::npos) {
        return {};
    }
    const std::string_view rest = text.substr(at + name.size());
    return rest.substr(0, rest.find('"'));
}

template <bool SSL> static void serve(uWS::TemplatedApp<SSL> &&app, int port, bool deflate)
{
    using socket = uWS::WebSocket<SSL, true, client>;
    const auto compression = deflate ? uWS::SHARED_COMPRESSOR : uWS::DISABLED;
    static unsigned next = 0;
    typename uWS::TemplatedApp<SSL>::template WebSocketBehavior<client> native, echo;
    native.compression = echo.compression = compression;
    native.maxPayloadLength = echo.maxPayloadLength = 16 << 20;
    native.maxBackpressure = echo.maxBackpressure = 64 << 20;
    native.idleTimeout = echo.idleTimeout = 0;
    native.sendPingsAutomatically = echo.sendPingsAutomatically = false;
    native.open = [](socket *ws) {
        ws->getUserData()->id = "uws~" + std::to_string(next++);
        ws->subscribe("client:" + ws->getUserData()->id);
        ws->send(R"({"type":"welcome","client":")" + ws->getUserData()->id + "\"}", uWS::TEXT, false);
    };
    native.message = [&app, deflate](socket *ws, std::string_view text, uWS::OpCode) {
        const std::string_view type = member(text, "{\"type\":\"");
        const std::string channel(member(text, ",\"channel\":\""));
        std::string out;
        if (type == "subscribe") {
            ws->subscribe(channel);
            ws->send(R"({"type":"subscribed","channel":")" + channel + R"(","id":1})", uWS::TEXT, false);
        } else if (type == "publish") {
            out.append(R"({"type":"message","channel":")").append(channel).append(R"(","data":")");
            out.append(member(text, ",\"data\":\"")).append("\"}");
            app.publish(channel, out, uWS::TEXT, deflate);
        } else if (type == "direct") {
            out.append(R"({"type":"direct","data":")").append(member(text, ",\"data\":\"")).append("\"}");
            app.publish("client:" + std::string(member(text, ",\"to\":\"")), out, uWS::TEXT, deflate);
        }
    };
    echo.message = [deflate](socket *ws, std::string_view text, uWS::OpCode opcode) {
        ws->send(text, opcode, deflate);
    };
    app.template ws<client>("/echo", std::move(echo)).template ws<client>("/*", std::move(native));
    app.listen("127.0.0.1", port, [](auto *listening) {
        if (listening == nullptr) {
            std::fputs("uws: cannot listen\n", stderr);
            std::exit(1);
        }
    });
    app.run();
}

int main(int argc, char **argv)
{
    const int port = argc > 1 ? std::atoi(argv[1]) : 0;
    const char *const tls = std::getenv("BENCH_TLS");
    const bool deflate = std::getenv("BENCH_DEFLATE") != nullptr;
    if (tls != nullptr) {
        const std::string key = std::string(tls) + "/key.pem", certificate = std::string(tls) + "/cert.pem";
        uWS::SocketContextOptions options;
        options.key_file_name = key.c_str();
        options.cert_file_name = certificate.c_str();
        serve<true>(uWS::SSLApp(options), port, deflate);
    } else {
        serve<false>(uWS::App(), port, deflate);
    }
    return 0;
}
