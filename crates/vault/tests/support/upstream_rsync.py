#!/usr/bin/env python3
"""Writes one level as Freezer's engines rsync (v1) and rsyncv2 (v2) write it, from their description.

    upstream_rsync.py v1|v2 SOURCE BASE|- DATA ENGINE_METADATA gzip|bzip2 [PASS_FILE cfb8|cfb128-6|cfb128-7]

With cfb128-7 of the second engine there are segments beside DATA, as on Swift. Python 3 and openssl only: MessagePack is written by
hand.
"""

import bz2
import hashlib
import json
import os
import pwd
import grp
import stat
import struct
import subprocess
import sys
import zlib

BLOCK = 4096
# So much is given to the compressor of the second engine at once (max_segment_size).
PIECE = 60000


# MessagePack, as Python 2's library writes it (texts are raw) and where it is longer as Python 3's does.

def pack(value):
    if value is None:
        return b'\xc0'
    if value is True or value is False:
        return b'\xc3' if value else b'\xc2'
    if isinstance(value, int):
        if 0 <= value < 128:
            return bytes([value])
        if value < 0:
            return b'\xd3' + struct.pack('>q', value)
        for code, form, most in ((b'\xcc', '>B', 8), (b'\xcd', '>H', 16), (b'\xce', '>I', 32)):
            if value < 1 << most:
                return code + struct.pack(form, value)
        return b'\xcf' + struct.pack('>Q', value)
    if isinstance(value, float):
        return b'\xcb' + struct.pack('>d', value)
    if isinstance(value, str):
        value = os.fsencode(value)
    if isinstance(value, bytes):
        if len(value) < 32:
            return bytes([0xa0 | len(value)]) + value
        if len(value) < 256 and len(value) % 2:
            return b'\xd9' + bytes([len(value)]) + value
        return b'\xda' + struct.pack('>H', len(value)) + value
    if isinstance(value, (list, tuple)):
        head = bytes([0x90 | len(value)]) if len(value) < 16 else b'\xdd' + struct.pack('>I', len(value))
        return head + b''.join(pack(item) for item in value)
    head = bytes([0x80 | len(value)]) if len(value) < 16 else b'\xdf' + struct.pack('>I', len(value))
    return head + b''.join(pack(key) + pack(item) for key, item in value.items())


def unpack(data):
    value, rest = unpack_one(memoryview(data))
    assert not len(rest)
    return value


def unpack_one(data):
    code, data = data[0], data[1:]

    def number(form):
        size = struct.calcsize(form)
        return struct.unpack(form, data[:size])[0], data[size:]

    def several(count, data, pairs):
        found = []
        for _ in range(count * (2 if pairs else 1)):
            item, data = unpack_one(data)
            found.append(item)
        return (dict(zip(found[::2], found[1::2])) if pairs else found), data

    def text(count, data):
        return bytes(data[:count]), data[count:]

    if code < 0x80:
        return code, data
    if code < 0x90:
        return several(code & 15, data, True)
    if code < 0xa0:
        return several(code & 15, data, False)
    if code < 0xc0:
        return text(code & 31, data)
    if code in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[code], data
    forms = {0xcb: '>d', 0xcc: '>B', 0xcd: '>H', 0xce: '>I', 0xcf: '>Q', 0xd3: '>q'}
    if code in forms:
        return number(forms[code])
    lengths = {0xd9: '>B', 0xda: '>H', 0xdd: '>I', 0xdf: '>I'}
    count, data = number(lengths[code])
    if code in (0xd9, 0xda):
        return text(count, data)
    return several(count, data, code == 0xdf)


# What both engines do.

def compressor(name):
    return zlib.compressobj(9) if name == 'gzip' else bz2.BZ2Compressor(9)


def one_shot(name, data):
    return zlib.compress(data) if name == 'gzip' else bz2.compress(data)


def one_shot_back(name, data):
    return zlib.decompress(data) if name == 'gzip' else bz2.decompress(data)


def names(facts):
    return pwd.getpwuid(facts.st_uid)[0], grp.getgrgid(facts.st_gid)[0]


def chunks(path, size=BLOCK):
    with open(path, 'rb') as source:
        while True:
            block = source.read(size)
            if not block:
                return
            yield block


def encrypt(header_and_key, mode, data):
    _, key, iv = header_and_key
    line = ['openssl', 'enc', '-aes-256-' + mode, '-K', key.hex(), '-iv', iv.hex()]
    return subprocess.run(line, input=data, stdout=subprocess.PIPE, check=True).stdout


def key_of(pass_file, salt):
    with open(pass_file, 'rb') as source:
        word = source.readline()  # with its end of line
    made = last = b''
    while len(made) < 48:
        last = hashlib.md5(last + word + salt).digest()
        made += last
    return b'Salted__' + salt, made[:32], made[32:48]


# The second engine.

def facts_v2(path):
    facts = os.lstat(path)
    user, group = names(facts)
    inode = {'mode': facts.st_mode, 'dev': facts.st_dev, 'uname': user, 'gname': group,
             'atime': facts.st_atime, 'mtime': facts.st_mtime, 'size': facts.st_size}
    return inode, {b'mode': facts.st_mode, b'ctime': facts.st_ctime, b'mtime': facts.st_mtime}


def entry_v2(path, old):
    inode, meta = facts_v2(path)
    if stat.S_ISSOCK(inode['mode']):
        return None, None
    entry = {'path': path, 'inode': inode}
    if stat.S_ISLNK(inode['mode']):
        entry['lname'] = os.readlink(path)
    before = old.get(os.fsencode(path))
    if before and before[b'mode'] != inode['mode']:
        before = None
    if before:
        if (before[b'mtime'], before[b'ctime']) == (meta[b'mtime'], meta[b'ctime']):
            return before, None
        entry = dict(new_level=True, **entry)
    if before and stat.S_ISREG(inode['mode']):
        weak, strong = before[b'signature']
        changed = []
        for index, block in enumerate(chunks(path)):
            same = index < len(weak) and weak[index] == zlib.adler32(block) & 0xffffffff
            if not same or strong[index] != hashlib.sha1(block).hexdigest().encode():
                changed.append((index, len(block)))
        if changed:
            entry['deltas'] = [sum(size for _, size in changed), [index for index, _ in changed]]
    return meta, entry


def level_v2(base, codec):
    old = unpack(one_shot_back(codec, base))[b'files'] if base else {}
    files, header = {}, []

    def take(path):
        meta, entry = entry_v2(path, old)
        if meta:
            files[os.fsencode(path)] = meta
        if entry:
            header.append(entry)

    for root, folders, plain in os.walk('.'):
        for name in sorted(folders) + sorted(plain):
            take(os.path.relpath(os.path.join(root, name), '.'))
    header.extend({'path': path, 'deleted': True} for path in old if path not in files)
    stream = [pack(header)]
    for entry in header:
        if 'inode' not in entry or not stat.S_ISREG(entry['inode']['mode']):
            continue
        path = entry['path']
        blocks = list(chunks(path))
        wanted = entry['deltas'][1] if 'deltas' in entry else range(len(blocks))
        stream.extend(blocks[index] for index in wanted)
        files[os.fsencode(path)] = dict(files[os.fsencode(path)])
        files[os.fsencode(path)][b'signature'] = [
            [zlib.adler32(block) & 0xffffffff for block in blocks],
            [hashlib.sha1(block).hexdigest() for block in blocks]]
    meta = pack({'files': files, 'platform': 'linux2', 'abs_backup_path': os.getcwd(),
                 'rsync_struct_ver': 2, 'rsync_block_size': BLOCK})
    return stream, one_shot(codec, meta)


# The first engine.

def weak_v1(data):
    weighted = sum((len(data) - at) * byte for at, byte in enumerate(data))
    return (weighted << 16) | sum(data)


def signature_v1(path):
    blocks = list(chunks(path))
    return [[weak_v1(block) for block in blocks], [hashlib.sha1(block).hexdigest() for block in blocks]]


def tokens(path, strong):
    """What a rolling comparison finds: True for a block that was there before, else a piece of bytes."""
    with open(path, 'rb') as source:
        data = source.read()
    known, at, literal = set(strong), 0, b''
    while at < len(data):
        if hashlib.sha1(data[at:at + BLOCK]).hexdigest() in known:
            if literal:
                yield literal
                literal = b''
            yield True
            at += BLOCK
            continue
        literal += data[at:at + 1]
        at += 1
        if len(literal) == BLOCK:
            yield literal
            literal = b''
    yield literal


def inode_v1(path, is_known):
    facts = os.lstat(path)
    kinds = ((stat.S_ISREG, 'r'), (stat.S_ISDIR, 'd'), (stat.S_ISLNK, 'l'), (stat.S_ISFIFO, 'p'))
    kind = next(letter for test, letter in kinds if test(facts.st_mode))
    user, group = names(facts)
    return {'inumber': facts.st_ino, 'nlink': facts.st_nlink, 'mode': facts.st_mode, 'uid': facts.st_uid,
            'gid': facts.st_gid, 'size': facts.st_size, 'devmajor': os.major(facts.st_dev),
            'devminor': os.minor(facts.st_dev), 'mtime': int(facts.st_mtime), 'ctime': int(facts.st_ctime),
            'uname': user, 'gname': group, 'ftype': kind, 'lname': os.readlink(path) if kind == 'l' else '',
            'rsync_block_size': BLOCK, 'level_id': '1111' if is_known else '0000', 'deleted': '0000'}


def record_v1(path, inode):
    keys = ('mode', 'uid', 'gid', 'size', 'mtime', 'ctime', 'uname', 'gname', 'ftype', 'lname', 'inumber',
            'nlink', 'devminor', 'devmajor', 'rsync_block_size', 'level_id', 'deleted')
    rest = ''.join('\0' + str(part) for part in [path, 1] + [inode[key] for key in keys]).encode()
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def delta_v1(path, strong):
    found = list(tokens(path, strong))
    changed = [index for index, token in enumerate(found) if token is not True]
    total = sum(len(found[index]) for index in changed)
    places = ''.join('\0%d' % index for index in changed) + '\0'
    yield ('\0%d\0%d\0%s' % (total, len(places) + 1, places)).encode()
    blocks = list(chunks(path))
    for index in changed:
        if index < len(blocks):
            yield blocks[index]


def level_v1(base, codec):
    old = json.loads(one_shot_back(codec, base)) if base else {'files': {}}
    files, folders, stream = {}, {}, []

    def take(path):
        before = old['files'].get(path)
        inode = inode_v1(path, before)
        if os.path.isdir(path):
            folders[os.path.abspath(path)] = {'inode': inode}
            # A link to a folder is taken for one, and not stored.
            return None if os.path.islink(path) else stream.append(record_v1(path, inode))
        files[path] = {'inode': inode}
        if before and all(before['inode'][key] == inode[key] for key in ('mtime', 'ctime')):
            files[path]['signature'] = before['signature']
            return None
        is_plain = inode['ftype'] == 'r'
        if not is_plain and not os.path.exists(path):
            return None
        files[path]['signature'] = signature_v1(path) if is_plain else [[], []]
        stream.append(record_v1(path, inode))
        if is_plain and before:
            stream.extend(delta_v1(path, before['signature'][1]))
        elif is_plain:
            stream.extend(chunks(path))
        return None

    for root, _, plain in os.walk('.'):
        take(os.path.relpath(root, '.'))
        for name in sorted(plain):
            take(os.path.relpath(os.path.join(root, name), '.'))
    for path, before in old['files'].items():
        if path not in files:
            files[path] = before
            before['inode']['deleted'] = '1111'
            stream.append(record_v1(path, before['inode']))
    meta = {'files': files, 'directories': folders, 'meta': {'platform': 'linux2'}, 'abs_backup_path': os.getcwd(),
            'broken_links': [], 'rsync_struct_ver': 1, 'rsync_block_size': BLOCK}
    return stream, one_shot(codec, json.dumps(meta).encode())


def bursts(stream, codec, engine):
    """What the compressor gives for each call."""
    if engine == 'v2':
        whole = b''.join(stream)
        stream = [whole[at:at + PIECE] for at in range(0, len(whole), PIECE)]
    packer = compressor(codec)
    return [packer.compress(piece) for piece in stream] + [packer.flush()]


def stored(stream, codec, engine, pass_file, cipher):
    pieces = bursts(stream, codec, engine)
    packed = b''.join(pieces)
    if not pass_file:
        return [packed]
    key = key_of(pass_file, b'saltsalt')
    if cipher == 'cfb8':
        return [key[0], encrypt(key, 'cfb8', packed)]
    if cipher == 'cfb128-7':
        # Release 7 begins anew with each piece.
        return [key[0]] + [encrypt(key, 'cfb', piece) if piece else b'' for piece in pieces]
    # Release 6 holds back to whole blocks: the second engine fills the last one up, the first loses it.
    over = len(packed) % 16
    if engine == 'v2':
        packed += b'p' * (16 - over if over else 0)
    else:
        packed = packed[:len(packed) - over]
    return [key[0], encrypt(key, 'cfb', packed)]


def main():
    engine, source, base, data, meta, codec = sys.argv[1:7]
    pass_file, cipher = (sys.argv[7:9] + [None, None])[:2]
    before = open(base, 'rb').read() if base != '-' else None
    os.chdir(source)
    stream, engine_metadata = (level_v1 if engine == 'v1' else level_v2)(before, codec)
    pieces = stored(stream, codec, engine, pass_file, cipher)
    with open(data, 'wb') as out:
        out.write(b''.join(pieces))
    if (engine, cipher) == ('v2', 'cfb128-7'):
        folder = os.path.join(os.path.dirname(data), 'segments')
        os.makedirs(folder)
        for number, piece in enumerate(pieces):
            with open(os.path.join(folder, '%08d' % number), 'wb') as out:
                out.write(piece)
    with open(meta, 'wb') as out:
        out.write(engine_metadata)


main()
