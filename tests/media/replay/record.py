#!/usr/bin/env python3
"""Records the packets beside it, for a camera that sends them again: NAME.rtp is RTP packets, a
length of 16 bits before each (RFC 4571), NAME.sdp describes them. What ffmpeg or GStreamer can
send comes from them; the rest is written here as the RFCs say. Needs ffmpeg and GStreamer 1.0.

    ./record.py            all
    ./record.py NAME ...   some
"""
import os, re, socket, struct, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PORT = 46730
VIDEO = "-f lavfi -i testsrc2=s=176x144:r=25 -frames:v 25 -pix_fmt yuv420p"
TONE = "-f lavfi -i 'aevalsrc=sin(440*t*(1+t))*0.5:d=2:s=48000'"
FFMPEG = "ffmpeg -v error -y"


def receive(command):
    """The packets that a command sends."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    receiver.bind(("127.0.0.1", PORT))
    receiver.settimeout(1)
    subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)
    packets = []
    try:
        while True:
            packets.append(receiver.recv(65536))
    except TimeoutError:
        return packets
    finally:
        receiver.close()


def ffmpeg(encode, media, sender=""):
    """What ffmpeg makes and sends."""
    sent = f"{encode} {sender} -f rtp 'rtp://127.0.0.1:{PORT}?pkt_size=1400'"
    return media, lambda: receive(f"{FFMPEG} {sent}")


def gst(pipeline, media):
    """What a pipeline ends with, sent by GStreamer."""
    sink = f"udpsink host=127.0.0.1 port={PORT} sync=false"
    return media, lambda: receive(f"gst-launch-1.0 -q {pipeline} ! {sink}")


def encoded(options, ending):
    """A file as ffmpeg writes it."""
    with tempfile.NamedTemporaryFile(suffix="." + ending) as file:
        subprocess.run(f"{FFMPEG} {options} {file.name}", shell=True, check=True)
        return file.read()


def packet(number, timestamp, marker, payload, payload_type=96):
    second = payload_type | (128 if marker else 0)
    return struct.pack(">BBHII", 0x80, second, number & 0xFFFF, timestamp & 0xFFFFFFFF, 1) + payload


def numbered(payloads):
    """Packets of (timestamp, marker, payload)."""
    return [packet(number, *rest) for number, rest in enumerate(payloads)]


def leb128(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])


def av1():
    """The RTP payload format of AV1: temporal units of OBUs without size fields and delimiters."""
    data = encoded(f"{VIDEO} -c:v libaom-av1 -cpu-used 8 -g 12 -b:v 200k", "ivf")
    out, at = [], 32
    for frame in range(25):
        size, = struct.unpack_from("<I", data, at)
        unit, at = data[at + 12:at + 12 + size], at + 12 + size
        obus, place = [], 0
        while place < len(unit):
            header = unit[place]
            assert header & 2 and not header & 4, "an OBU with a size and without extension"
            place, length, shift = place + 1, 0, 0
            while True:
                byte = unit[place]
                length |= (byte & 127) << shift
                place, shift = place + 1, shift + 7
                if byte < 128:
                    break
            if header >> 3 & 15 not in (2, 8):
                obus.append(bytes([header & ~2]) + unit[place:place + length])
            place += length
        new = any(obu[0] >> 3 & 15 == 1 for obu in obus)
        # Elements with their lengths (W = 0), cut at packets of 1,388 bytes.
        pieces = [[]]
        room = 1387
        continues = [False]
        for obu in obus:
            first = True
            while obu:
                if room < 8:
                    pieces.append([])
                    continues.append(not first)
                    room = 1387
                piece, obu = obu[:room - 3], obu[room - 3:]
                pieces[-1].append(leb128(len(piece)) + piece)
                room -= len(pieces[-1][-1])
                first = False
        for index, elements in enumerate(pieces):
            goes_on = index + 1 < len(pieces) and continues[index + 1]
            head = (128 if continues[index] else 0) | (64 if goes_on else 0) | (8 if new and index == 0 else 0)
            out.append((frame * 3600, index + 1 == len(pieces), bytes([head]) + b"".join(elements)))
    return numbered(out)


def eac3():
    """RFC 4598: frames of 1,536 samples behind two bytes, in fragments where they are large."""
    data = encoded(f"{TONE} -ac 2 -c:a eac3 -b:a 640k", "eac3")
    out, at, time = [], 0, 0
    while at < len(data):
        size = 2 * ((struct.unpack_from(">H", data, at + 2)[0] & 0x7FF) + 1)
        frame, at = data[at:at + size], at + size
        pieces = [frame[begin:begin + 1386] for begin in range(0, size, 1386)]
        for index, piece in enumerate(pieces):
            kind, count = (1, len(pieces)) if len(pieces) > 1 else (0, 1)
            out.append((time, index + 1 == len(pieces), bytes([kind, count]) + piece))
        time += 1536
    return numbered(out)


RATES = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]


def mpa_robust():
    """RFC 5219: of each MP3 frame its header, side information and main data, wherever in the
    stream these stand, behind a descriptor; two to a packet where they fit."""
    data = encoded(f"{TONE} -ac 2 -ar 48000 -c:a libmp3lame -b:a 256k -id3v2_version 0 -write_xing 0", "mp3")
    adus, at, reservoir = [], 0, b""
    while at + 4 <= len(data) and data[at] == 0xFF:
        head = data[at:at + 4]
        assert head[1] == 0xFB and head[2] >> 2 & 3 == 1 and head[3] >> 6 != 3, "MPEG 1, 48 kHz, two channels"
        size = 144000 * RATES[head[2] >> 4] // 48000 + (head[2] >> 1 & 1)
        frame, at = data[at:at + size], at + size
        side = frame[4:36]
        begin = struct.unpack(">H", side[:2])[0] >> 7
        bits = int.from_bytes(side, "big")
        # part2_3_length of each granule and channel: behind 9 + 3 + 8 bits, 59 bits apart.
        main = sum(bits >> (256 - 20 - 59 * part - 12) & 0xFFF for part in range(4)) + 7 >> 3
        if begin <= len(reservoir):
            stored = (reservoir[len(reservoir) - begin:] if begin else b"") + frame[36:]
            adus.append(frame[:36] + stored[:main])
        else:
            adus.append(frame[:36])
        reservoir = (reservoir + frame[36:])[-511:]
    sized = [struct.pack(">H", 0x4000 | len(adu)) + adu for adu in adus]
    out, time = [], 0
    while sized:
        count = 2 if sum(map(len, sized[:2])) <= 1388 else 1
        together, sized = sized[:count], sized[count:]
        out.append((time, False, b"".join(together)))
        # 1,152 samples at 48 kHz are 2,160 ticks.
        time += 2160 * count
    return numbered(out)


def metadata():
    """The ONVIF streaming specification: XML documents, the last packet of each with the marker."""
    out = []
    for index in range(30):
        objects = "".join(f'<tt:Object ObjectId="{n}"><tt:Appearance/></tt:Object>' for n in range(index % 7 * 12))
        document = (f'<?xml version="1.0" encoding="UTF-8"?><tt:MetadataStream xmlns:tt="http://www.onvif.org/ver10/schema">'
                    f'<tt:VideoAnalytics><tt:Frame UtcTime="2020-01-01T00:00:{index:02}Z">{objects}</tt:Frame>'
                    f'</tt:VideoAnalytics></tt:MetadataStream>').encode()
        pieces = [document[at:at + 1388] for at in range(0, len(document), 1388)]
        out += [(index * 9000, piece is pieces[-1], piece) for piece in pieces]
    return numbered(out)


def klv():
    """RFC 6597: units of KLV, the last packet of each with the marker."""
    out = []
    for index in range(30):
        value = bytes((index + n) % 251 for n in range(100 + index * 100))
        unit = bytes.fromhex("060e2b34020b01010e01030101000000") + b"\x82" + struct.pack(">H", len(value)) + value
        pieces = [unit[at:at + 1388] for at in range(0, len(unit), 1388)]
        out += [(index * 9000, at + 1 == len(pieces), piece) for at, piece in enumerate(pieces)]
    return numbered(out)


def t140():
    """RFC 4103 without redundancy: text as it is typed, the first after a pause with the marker."""
    words = "Jeder für sich, § 4 ✓ und so fort. ".split(" ")
    return numbered([(index * 300, index == 0, (words[index % len(words)] + " ").encode()) for index in range(30)])


def qcelp():
    """RFC 2658, bundles of five frames without interleaving: full rate, a half, a quarter, an
    eighth, full. No encoder is to be had: what frames hold is arbitrary."""
    sizes = [35, 17, 8, 4, 35]
    kinds = {35: 4, 17: 3, 8: 2, 4: 1}
    out = []
    for index in range(20):
        frames = b"".join(bytes([kinds[size]]) + bytes((index * 7 + n) % 256 for n in range(size - 1)) for size in sizes)
        out.append((index * 5 * 160, False, b"\0" + frames))
    return numbered(out)


def g723():
    """RFC 3551, section 4.5.3: a frame of 24 bytes and 30 ms in each packet."""
    data = encoded(f"{TONE} {NARROW} -c:a g723_1 -b:a 6300 -map 0:a -f data", "g723")
    return numbered([(at * 10, at == 0, data[at:at + 24], 4) for at in range(0, len(data), 24)])


def several():
    """PCMU with comfort noise (RFC 3389), a telephone event (RFC 4733), redundancy (RFC 2198) and
    an RTX and an ULPFEC payload type of the same media line; with CSRCs, extensions, padding."""
    out = []
    for index in range(60):
        time, sample = index * 160, bytes((index * 3 + n) % 256 for n in range(160))
        kind = index % 6
        if kind == 1:
            head, payload_type, body = 0x80, 13, bytes([40 + index % 8, 1, 2])
        elif kind == 2:
            head, payload_type, body = 0x80, 101, struct.pack(">BBH", 5, 10, 160)
        elif kind == 3:
            head, payload_type, body = 0x80, 102, bytes([0x80, 0x02, 0x80, 160, 0]) + sample + sample
        elif kind == 4:
            head, payload_type, body = 0x80, 103, struct.pack(">H", index) + sample
        elif kind == 5:
            head, payload_type, body = 0x80, 104, bytes(14) + sample
        else:
            # Two CSRCs, an extension of one word, four bytes of padding.
            head, payload_type = 0xB2, 0
            body = struct.pack(">IIHHI", 7, 8, 0xBEDE, 1, 0x10FF0000 | index) + sample + bytes([0, 0, 0, 4])
        marker = 128 if index % 7 == 0 else 0
        out.append(struct.pack(">BBHII", head, payload_type | marker, index, time, 1) + body)
    return out


NARROW = "-ar 8000 -ac 1"
GST_TONE = "audiotestsrc wave=ticks num-buffers=100 samplesperbuffer=160"
GST_VIDEO = "videotestsrc num-buffers=10 pattern=ball ! video/x-raw,format=I420,width=176,height=144,framerate=25/1"

RECORDINGS = {
    "mpv": ffmpeg(f"{VIDEO} -c:v mpeg2video -g 12 -bf 2 -b:v 600k", "video 0 RTP/AVP 32"),
    "h263": ffmpeg(f"{VIDEO} -c:v h263 -ps 1 -g 12 -b:v 400k", "video 0 RTP/AVP 34", "-rtpflags rfc2190"),
    "h263-1998": ffmpeg(f"{VIDEO} -c:v h263p -g 12 -b:v 400k", "video 0 RTP/AVP 96\na=rtpmap:96 H263-1998/90000\na=framesize:96 176-144"),
    "h263-2000": ffmpeg(f"{VIDEO} -c:v h263p -umv 1 -g 12 -b:v 400k", "video 0 RTP/AVP 96\na=rtpmap:96 H263-2000/90000\na=fmtp:96 profile=0;level=10\na=framesize:96 176-144"),
    "h261": ffmpeg(f"{VIDEO} -c:v h261 -g 12 -b:v 400k", "video 0 RTP/AVP 31\na=rtpmap:31 H261/90000", "-f_strict experimental"),
    "jpeg2000": gst(f"{GST_VIDEO} ! openjpegenc num-resolutions=2 ! image/x-jpc ! rtpj2kpay mtu=1400", "video 0 RTP/AVP 96\na=rtpmap:96 JPEG2000/90000\na=fmtp:96 sampling=YCbCr-4:2:0"),
    "raw": gst("videotestsrc num-buffers=6 pattern=ball ! video/x-raw,format=UYVY,width=96,height=64,framerate=25/1 ! rtpvrawpay mtu=1400", "video 0 RTP/AVP 96\na=rtpmap:96 raw/90000\na=fmtp:96 sampling=YCbCr-4:2:2;width=96;height=64;depth=8;colorimetry=BT601-5"),
    "dv": gst("videotestsrc num-buffers=3 pattern=ball ! video/x-raw,format=I420,width=720,height=576,framerate=25/1,pixel-aspect-ratio=16/15 ! avenc_dvvideo ! rtpdvpay mtu=1400 ! identity sleep-time=500", "video 0 RTP/AVP 96\na=rtpmap:96 DV/90000\na=fmtp:96 encode=SD-VCR/625-50;audio=none"),
    "av1": ("video 0 RTP/AVP 96\na=rtpmap:96 AV1/90000", av1),
    "eac3": ("audio 0 RTP/AVP 96\na=rtpmap:96 eac3/48000/2", eac3),
    "mpa-robust": ("audio 0 RTP/AVP 96\na=rtpmap:96 mpa-robust/90000", mpa_robust),
    "metadata": ("application 0 RTP/AVP 96\na=rtpmap:96 vnd.onvif.metadata/90000", metadata),
    "klv": ("application 0 RTP/AVP 96\na=rtpmap:96 SMPTE336M/90000", klv),
    "t140": ("text 0 RTP/AVP 96\na=rtpmap:96 t140/1000", t140),
    "qcelp": ("audio 0 RTP/AVP 12", qcelp),
    "amr": gst(f"{GST_TONE} ! audio/x-raw,rate=8000,channels=1 ! amrnbenc ! rtpamrpay", "audio 0 RTP/AVP 96\na=rtpmap:96 AMR/8000\na=fmtp:96 octet-align=1"),
    "amr-wb": gst(f"{GST_TONE} ! audioresample ! audio/x-raw,rate=16000,channels=1 ! voamrwbenc ! rtpamrpay", "audio 0 RTP/AVP 96\na=rtpmap:96 AMR-WB/16000\na=fmtp:96 octet-align=1"),
    "g726-32": gst(f"{GST_TONE} ! audio/x-raw,rate=8000,channels=1 ! avenc_g726 bitrate=32000 ! rtpg726pay mtu=1012", "audio 0 RTP/AVP 96\na=rtpmap:96 G726-32/8000"),
    "g723": ("audio 0 RTP/AVP 4\na=rtpmap:4 G723/8000", g723),
    "gsm": gst(f"{GST_TONE} ! audio/x-raw,rate=8000,channels=1 ! gsmenc ! rtpgsmpay", "audio 0 RTP/AVP 3\na=rtpmap:3 GSM/8000"),
    "speex": gst(f"{GST_TONE} ! audio/x-raw,rate=8000,channels=1 ! speexenc ! rtpspeexpay pt=96", "audio 0 RTP/AVP 96\na=rtpmap:96 speex/8000"),
    "l8": gst(f"{GST_TONE} ! audio/x-raw,rate=8000,channels=1 ! audioconvert ! audio/x-raw,format=U8 ! rtpL8pay min-ptime=100000000", "audio 0 RTP/AVP 96\na=rtpmap:96 L8/8000"),
    "several": ("audio 0 RTP/AVP 0 13 101 102 103 104\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=rtpmap:102 red/8000\na=fmtp:102 0/0\na=rtpmap:103 rtx/8000\na=fmtp:103 apt=0\na=rtpmap:104 ulpfec/8000", several),
}

for name in sys.argv[1:] or RECORDINGS:
    media, make = RECORDINGS[name]
    try:
        packets = make()
    except subprocess.CalledProcessError as error:
        print(f"{name}: {error}")
        continue
    if not packets:
        print(f"{name}: no packet")
        continue
    # ffmpeg's own reports come to another port, GStreamer sends none.
    with open(os.path.join(HERE, name + ".rtp"), "wb") as out:
        for one in packets:
            out.write(struct.pack(">H", len(one)) + one)
    with open(os.path.join(HERE, name + ".sdp"), "w", newline="\r\n") as out:
        out.write(f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns={name}\nc=IN IP4 127.0.0.1\nt=0 0\nm={media}\n")
    times = sorted({struct.unpack_from(">I", one, 4)[0] for one in packets})
    print(f"{name}: {len(packets)} packets of {sum(map(len, packets))} bytes, at most {max(map(len, packets))}, "
          f"payload types {sorted({one[1] & 127 for one in packets})}, {len(times)} timestamps")
