"""A protoc plugin that generates the gRPC code for Python.

The generator is part of grpcio-tools, which has it as a program of its own nowhere: this hands it what buf has read.
"""

import os
import sys
import tempfile

from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc


def main() -> None:
    request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    response = plugin_pb2.CodeGeneratorResponse()
    response.supported_features = plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    with tempfile.TemporaryDirectory() as folder:
        descriptors = os.path.join(folder, "descriptors.binpb")
        with open(descriptors, "wb") as file:
            file.write(FileDescriptorSet(file=request.proto_file).SerializeToString())
        arguments = [f"--descriptor_set_in={descriptors}", f"--grpc_python_out={folder}", *request.file_to_generate]
        if protoc.main(["protoc", *arguments]) != 0:
            sys.exit(1)
        for proto in request.file_to_generate:
            name = proto.removesuffix(".proto") + "_pb2_grpc.py"
            with open(os.path.join(folder, name)) as file:
                response.file.add(name=name, content=file.read())
    sys.stdout.buffer.write(response.SerializeToString())


main()
