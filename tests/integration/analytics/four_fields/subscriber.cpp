// A subscriber of another team: prints each metric as a line of text, with the schema of four fields.
// subscriber FILE…: a frame in each file. subscriber tcp://… N: the next N frames of a PUB socket.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "order_metric_generated.h"
#ifdef WITH_ZMQ
#include <zmq.h>
#endif

static bool print(const std::vector<uint8_t> &frame) {
  flatbuffers::Verifier verifier(frame.data(), frame.size());
  if (!four_fields::VerifyOrderMetricBuffer(verifier)) {
    std::puts("refused");
    return false;
  }
  const auto *metric = four_fields::GetOrderMetric(frame.data());
  std::printf("%s %s %.3f %lld\n", metric->order_id()->c_str(), metric->status()->c_str(), metric->duration_seconds(),
              static_cast<long long>(metric->timestamp()));
  std::fflush(stdout);
  return true;
}

#ifdef WITH_ZMQ
static int subscribe(const char *address, int count) {
  void *context = zmq_ctx_new();
  void *socket = zmq_socket(context, ZMQ_SUB);
  const int within_ms = 10000, linger_ms = 0;
  zmq_setsockopt(socket, ZMQ_RCVTIMEO, &within_ms, sizeof within_ms);
  zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
  zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0);
  bool good = zmq_connect(socket, address) == 0;
  for (int received = 0; good && received < count; ++received) {
    zmq_msg_t message;
    zmq_msg_init(&message);
    good = zmq_msg_recv(&message, socket, 0) >= 0;
    const auto *bytes = static_cast<const uint8_t *>(zmq_msg_data(&message));
    good = good && print(std::vector<uint8_t>(bytes, bytes + zmq_msg_size(&message)));
    zmq_msg_close(&message);
  }
  zmq_close(socket);
  zmq_ctx_term(context);
  return good ? 0 : 1;
}
#endif

int main(int argc, char **argv) {
#ifdef WITH_ZMQ
  if (argc == 3 && std::string(argv[1]).rfind("tcp://", 0) == 0) return subscribe(argv[1], std::atoi(argv[2]));
#endif
  bool good = true;
  for (int number = 1; number < argc; ++number) {
    std::ifstream file(argv[number], std::ios::binary);
    good = print(std::vector<uint8_t>(std::istreambuf_iterator<char>(file), {})) && good;
  }
  return good ? 0 : 1;
}
