// The limit of gRPC: takes any unary call, reads its message, answers with a message of the size that a model's
// answer would have.
//
// echo PORT REQUEST_BYTES:ANSWER_BYTES ... (ascending). A message gets the answer of the largest REQUEST_BYTES
// that it reaches. One thread on one completion queue, which is the quickest way that gRPC C++ has on a core or
// two. The answers' bytes are made once and shared. Prints "ready" when it listens.

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <iostream>
#include <map>
#include <memory>
#include <string>

namespace {

using Answers = std::map<size_t, grpc::ByteBuffer>;

class Call {
 public:
  Call(grpc::AsyncGenericService* service, grpc::ServerCompletionQueue* queue, const Answers* answers)
      : service_(service), queue_(queue), answers_(answers), stream_(&context_) {
    service_->RequestCall(&context_, &stream_, queue_, queue_, this);
  }

  // One operation of this call is done. The call deletes itself after its last.
  void Proceed(bool ok) {
    if (step_ == Step::kNew) {
      if (ok) new Call(service_, queue_, answers_);
    }
    if (!ok || step_ == Step::kSent) {
      delete this;
      return;
    }
    if (step_ == Step::kNew) {
      step_ = Step::kReceived;
      stream_.Read(&request_, this);
    } else {
      step_ = Step::kSent;
      auto above = answers_->upper_bound(request_.Length());
      if (above != answers_->begin()) --above;
      stream_.WriteAndFinish(above->second, grpc::WriteOptions(), grpc::Status::OK, this);
    }
  }

 private:
  enum class Step { kNew, kReceived, kSent };

  grpc::AsyncGenericService* service_;
  grpc::ServerCompletionQueue* queue_;
  const Answers* answers_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_;
  grpc::ByteBuffer request_;
  Step step_ = Step::kNew;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: echo PORT REQUEST_BYTES:ANSWER_BYTES ..." << std::endl;
    return 2;
  }
  Answers answers;
  for (int index = 2; index < argc; ++index) {
    const std::string sizes = argv[index];
    const size_t colon = sizes.find(':');
    grpc::Slice bytes(std::string(std::stoul(sizes.substr(colon + 1)), 'x'));
    answers[std::stoul(sizes.substr(0, colon))] = grpc::ByteBuffer(&bytes, 1);
  }
  grpc::AsyncGenericService service;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(-1);
  builder.SetMaxSendMessageSize(-1);
  builder.AddListeningPort(std::string("127.0.0.1:") + argv[1], grpc::InsecureServerCredentials());
  builder.RegisterAsyncGenericService(&service);
  std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) return 1;
  // Several places, so that a new call never waits for the last one to be looked at.
  for (int place = 0; place < 64; ++place) new Call(&service, queue.get(), &answers);
  std::cout << "ready" << std::endl;
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) static_cast<Call*>(tag)->Proceed(ok);
  return 0;
}
