"""`zmq.proxy` and nothing else: the limit of the event bus. Arguments: the ports of XSUB and XPUB."""

import sys

import zmq


def main() -> None:
    """Forward until killed."""
    context = zmq.Context()
    front, back = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
    for bound, port in zip((front, back), sys.argv[1:], strict=True):
        bound.bind(f"tcp://127.0.0.1:{port}")
    zmq.proxy(front, back)


if __name__ == "__main__":
    main()
