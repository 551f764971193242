"""A worker: the first one gathers what the others send, and writes it down."""

import os
import socket
import sys
import time

rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
host, port = os.environ["MEETING_POINT"].split(":")
own = f"{rank} of {size} on {os.environ['SLURMD_NODENAME']}, GPUs {os.environ['CUDA_VISIBLE_DEVICES']}"

if rank:
    for _ in range(300):
        try:
            with socket.create_connection((host, int(port))) as to_first:
                to_first.sendall(own.encode())
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    else:
        sys.exit("nobody is at the meeting point")
else:
    said = [own]
    with socket.create_server((host, int(port))) as server:
        server.settimeout(60)
        while len(said) < size:
            connection, _ = server.accept()
            said.append(connection.makefile().read())
    with open(sys.argv[1], "w") as file:
        file.writelines(f"{line}\n" for line in sorted(said))
