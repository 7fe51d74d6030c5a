"""A second implementation's first step, written from docs/wire.md alone: joins a network as a
client, pings a node, finds the nodes nearest to a key, and gets its value.

    pip install blake3 noiseprotocol; python docs/second_node.py HOST:PORT KEY [NETWORK [ID_BITS]]

It repeats lost packets, but knows IPv4 alone, and no cookies.
"""

import hashlib, os, socket, struct, sys

from blake3 import blake3
from noise.connection import Keypair, NoiseConnection

K, VALUE_MAX, MAX_TTL, MAJOR, VERSION = 20, 8192, 7 * 86400, 1, 1
PING, FIND_NODE, FIND, REFUSED = 1, 2, 3, 15  # field numbers of Request and Answer


def derive(context, data):
    return blake3(data, derive_key_context=context).digest()


def varint(number):
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def field(number, content):
    """A Protobuf field: bytes are length-delimited, numbers are varints."""
    is_number = isinstance(content, int)
    head = varint(number << 3 | (0 if is_number else 2))
    return head + (varint(content) if is_number else varint(len(content)) + content)


def fields(message):
    """The fields of a Protobuf message, the last of each number."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte, at = message[at], at + 1
            value, shift = value | (byte & 127) << shift, shift + 7
            if byte < 128: return value

    while at < len(message):
        tag = number()
        value = number()
        if tag & 7 == 2:
            value, at = message[at : at + value], at + value
        found[tag >> 3] = value
    return found


def contacts(packed):
    """(node id, node key, IPv4 address) of each contact that has one."""
    while packed:
        flags, key, packed = packed[0], packed[1:33], packed[33:]
        if flags & 2:
            address = socket.inet_ntoa(packed[:4]), struct.unpack(">H", packed[4:6])[0]
            packed = packed[6:]
            yield derive("qadom 1 node id", key), key, address
        packed = packed[18:] if flags & 4 else packed


class Network:
    """Our key, and what all packets of one network have in common."""

    def __init__(self, name, id_bits):
        self.id = derive("qadom 1 network", name.encode() + b"\0")
        parameters = struct.pack(">HBBHI", MAJOR, K, id_bits, VALUE_MAX, MAX_TTL)
        self.tag = derive("qadom 1 parameters", self.id + parameters)[:8]
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.secret = os.urandom(32)  # a client stands in no table, so it solves no puzzle

    def exchange(self, packet, address, accept):
        """Sends a packet up to three times, until something comes that is accepted."""
        for patience in (1, 2, 4):
            self.socket.sendto(packet, address)
            self.socket.settimeout(patience)
            try:
                while (accepted := accept(self.socket.recv(2048))) is None: pass
                return accepted
            except socket.timeout: continue
        raise TimeoutError(f"{address} does not answer")

    def who(self, address):
        """The key of the node at an address: WHO, answered by IAM."""
        asked = b"\x09\0\0\0" + self.tag + os.urandom(16)
        is_iam = lambda packet: packet[28:60] if packet[:28] == b"\x0a" + asked[1:] else None
        return self.exchange(asked.ljust(200, b"\0"), address, is_iam)


class Session:
    """A session with one node, begun by a request inside of the first datagram."""

    def __init__(self, network, key, address, request):
        self.network, self.address = network, address
        self.index, self.sent = os.urandom(4), 0
        header = bytes([4, VERSION, 1, 0]) + self.index + network.tag
        self.noise = NoiseConnection.from_name(b"Noise_IK_25519_ChaChaPoly_BLAKE2s")
        self.noise.set_as_initiator()
        self.noise.set_keypair_from_private_bytes(Keypair.STATIC, network.secret)
        self.noise.set_prologue(b"qadom 1" + network.id + header)
        self.noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, key)
        self.noise.start_handshake()
        inner = b"\x01\0" + b"\0" + os.urandom(8) + request  # hello of a client, then a request
        inner = struct.pack("<H", len(inner)) + inner
        packet = header + bytes(self.noise.write_message(inner.ljust(1200 - 144, b"\0")))
        mac_key = hashlib.blake2s(b"qadom 1 mac1" + key).digest()
        packet += hashlib.blake2s(packet, key=mac_key, digest_size=16).digest() + bytes(16)
        self.answer = network.exchange(packet, address, self.resp)

    def resp(self, packet):
        if packet[0] != 5 or packet[8:12] != self.index: return None
        self.remote = packet[4:8]
        inner = bytes(self.noise.read_message(packet[12:-32]))[35:]  # after reset token, observed
        length = struct.unpack_from("<H", inner)[0]
        message = inner[2 : 2 + length]
        return fields(message[1 + message[0] :][17:])  # after hello, kind, request id and UTC

    def seal(self, frame):
        """A DATA packet."""
        header = b"\x07\0\0\0" + self.remote + struct.pack("<Q", self.sent)
        plain = struct.pack("<H", len(frame)) + frame
        size = next(size for size in (64, 128, 256, 512, 1200) if size >= len(plain) + 32)
        cipher = self.noise.noise_protocol.cipher_state_encrypt
        cipher.n, self.sent = self.sent, self.sent + 1
        return header + cipher.encrypt_with_ad(header, plain.ljust(size - 32, b"\0"))

    def ask(self, request):
        """Sends a request in a DATA packet and waits for the answer, whole or in pieces."""
        request_id, pieces = os.urandom(8), {}

        def accept(packet):
            if packet[0] != 7 or packet[4:8] != self.index: return None
            cipher = self.noise.noise_protocol.cipher_state_decrypt
            cipher.n = struct.unpack_from("<Q", packet, 8)[0]
            plain = cipher.decrypt_with_ad(packet[:16], packet[16:])
            frame = plain[2 : 2 + struct.unpack_from("<H", plain)[0]]
            if frame[0] == 1 and frame[1:10] == b"\x01" + request_id: return frame[1:]
            if frame[0] != 2 or frame[1:10] != request_id + b"\x01": return None
            pieces[frame[10]], count = frame[14:], frame[11]
            missing = [each for each in range(count) if each not in pieces]
            if missing and len(pieces) >= min(4, count):
                need = b"\x03" + request_id + b"\x01" + bytes([sum(1 << each for each in missing)])
                self.network.socket.sendto(self.seal(need), self.address)
            return None if missing else b"".join(pieces[each] for each in range(count))

        packet = self.seal(b"\x01" + b"\0" + request_id + request)
        return fields(self.network.exchange(packet, self.address, accept)[17:])


def main(bootstrap, key, network="local", id_bits="0"):
    host, _, port = bootstrap.rpartition(":")
    key, network, first = bytes.fromhex(key), Network(network, int(id_bits)), (host, int(port))

    session = Session(network, network.who(first), first, field(PING, b""))
    pong = fields(session.answer[PING])
    print("ping: speaks versions", pong[1], "to", pong[2], "storing:", bool(pong.get(4)))

    found = session.ask(field(FIND_NODE, field(1, key) + field(2, 1)))[FIND_NODE]
    known = {node: (node_key, at) for node, node_key, at in contacts(fields(found).get(1, b""))}
    node_key = session.noise.noise_protocol.keypairs["rs"].public_bytes
    known[derive("qadom 1 node id", node_key)] = node_key, first
    print("find:", len(known), "nodes")

    distance = lambda node: int.from_bytes(node, "big") ^ int.from_bytes(key, "big")
    request, asked = field(FIND, field(1, key) + field(2, 0) + field(5, 1)), set()
    while nearest := [node for node in sorted(known, key=distance)[:K] if node not in asked]:
        asked.add(nearest[0])
        try:
            session = Session(network, *known[nearest[0]], request)
            answer = fields(session.answer[FIND])
            if 5 in answer:  # too long for a first datagram: asked again in the session
                answer = fields(session.ask(request)[FIND])
        except TimeoutError: continue
        value = fields(answer.get(1, b"")).get(1)
        if value is not None and hashlib.sha256(value).digest() == key:
            print("get:", len(value), "bytes after", len(asked), "nodes:", value[:60])
            return
        for node, node_key, at in contacts(answer.get(2, b"")):
            known.setdefault(node, (node_key, at))
    sys.exit("get: nobody has it")


if __name__ == "__main__":
    main(*sys.argv[1:])
