"""A carrier's client in Python: announces a parcel over mutual TLS, books room for it, and follows
it until it is collected. Prints each state on a line of its own; anything unexpected ends it with an
error.

The stubs are made from the .proto files of the repository, as any carrier would make them.
"""

import argparse
import importlib
import importlib.resources
import pathlib
import sys
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from grpc_tools import protoc

# The whole way must be done by then, in seconds.
WATCH_LIMIT_S = 50
CALL_LIMIT_S = 10


def make_stubs(repository: pathlib.Path, stubs: pathlib.Path) -> None:
    protos = repository / "proto"
    apis = repository / "third_party/googleapis"
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    done = protoc.main(
        [
            "protoc",
            f"-I{protos}",
            f"-I{apis}",
            f"-I{well_known}",
            f"--python_out={stubs}",
            f"--grpc_python_out={stubs}",
            str(protos / "locker/carrier/v1/parcel_service.proto"),
        ]
    )
    if done != 0:
        sys.exit("protoc failed")
    sys.path.insert(0, str(stubs))


def say(text: str) -> None:
    print(text, flush=True)


def reason_of(error: grpc.RpcError) -> str:
    info = error_details_pb2.ErrorInfo()
    for detail in rpc_status.from_call(error).details:
        if detail.Unpack(info):
            return info.reason
    sys.exit(f"an error without ErrorInfo: {error}")


def check_reflection(channel: grpc.Channel) -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
        iter([request]), timeout=CALL_LIMIT_S
    )
    names = {service.name for service in next(answers).list_services_response.service}
    if "locker.carrier.v1.ParcelService" not in names:
        sys.exit(f"reflection does not show the service: {names}")
    say("REFLECTED")


def check_health(channel: grpc.Channel) -> None:
    # grpc.health.v1: the request is empty, the answer is field 1 with 1 for SERVING.
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    if check(b"", timeout=CALL_LIMIT_S) != b"\x08\x01":
        sys.exit("the hub does not say that it is serving")
    say("SERVING")


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("repository", "stubs", "ca", "certificate", "key"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    for name in ("address", "carrier", "parcel", "barcode", "email", "bank"):
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()

    make_stubs(args.repository, args.stubs)
    pb = importlib.import_module("locker.carrier.v1.parcel_service_pb2")
    pb_grpc = importlib.import_module("locker.carrier.v1.parcel_service_pb2_grpc")

    credentials = grpc.ssl_channel_credentials(
        root_certificates=args.ca.read_bytes(),
        private_key=args.key.read_bytes(),
        certificate_chain=args.certificate.read_bytes(),
    )
    with grpc.secure_channel(args.address, credentials) as channel:
        check_reflection(channel)
        check_health(channel)
        parcels = pb_grpc.ParcelServiceStub(channel)
        parent = f"carriers/{args.carrier}"
        name = f"{parent}/parcels/{args.parcel}"

        try:
            parcels.GetParcel(
                pb.GetParcelRequest(name="carriers/somebody-else/parcels/x"), timeout=CALL_LIMIT_S
            )
            sys.exit("another carrier's parcel was not denied")
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.PERMISSION_DENIED:
                raise
            say(f"DENIED {reason_of(error)}")

        parcels.CreateParcel(
            pb.CreateParcelRequest(
                parent=parent,
                parcel_id=args.parcel,
                parcel=pb.Parcel(
                    barcode=args.barcode,
                    dimensions=pb.Dimensions(length_mm=300, width_mm=200, height_mm=80),
                    weight_g=750,
                    recipient=pb.Recipient(email=args.email, display_name="Robin Example"),
                ),
                request_id=str(uuid.uuid4()),
            ),
            timeout=CALL_LIMIT_S,
        )
        parcels.BookCompartment(
            pb.BookCompartmentRequest(
                name=name, bank=f"banks/{args.bank}", request_id=str(uuid.uuid4())
            ),
            timeout=CALL_LIMIT_S,
        )
        watch = parcels.WatchParcels(
            pb.WatchParcelsRequest(parent=parent), timeout=WATCH_LIMIT_S
        )
        for message in watch:
            if message.WhichOneof("message") != "event" or message.event.parcel.name != name:
                continue
            state = message.event.parcel.state
            say(pb.Parcel.State.Name(state).removeprefix("STATE_"))
            if state == pb.Parcel.STATE_COLLECTED:
                return
    sys.exit("the watch ended too early")


if __name__ == "__main__":
    main()
