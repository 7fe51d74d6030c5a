"""The blocking client against real daemons: every view, and how each failure looks."""

import hashlib
import os

import pytest

import qadom
from qadom import errors


def test_a_value_is_found_under_its_sha256_by_another_node(clients):
    written = clients[0].put("sudo python")
    assert written.key == hashlib.sha256(b"sudo python").hexdigest()
    assert written.receipt.stored == 3 and not written.receipt.alone
    number = 44523492095186523269265158000087001266127815262863473237438729878159874507476
    for key in [written.key, number, bytes.fromhex(written.key)]:
        assert clients[1].get(key) == b"sudo python"
    read = clients[2].read(written.key)
    assert read.value == b"sudo python" and read.source
    assert clients[0].read(written.key, local=True).source == "local"


def test_values_of_every_legal_size_and_no_larger_one(clients):
    for size in (0, 1, 8191, 8192):
        content = os.urandom(size)
        assert clients[1].get(clients[0].put(content).key) == content
    with pytest.raises(errors.TooLarge) as refused:
        clients[0].put(bytes(8193))
    assert refused.value.reason == "too-large" and refused.value.status == 413
    with pytest.raises(TypeError):
        clients[0].put(7)


def test_what_nobody_has_is_a_key_error_or_the_default(clients):
    key = hashlib.sha256(b"nobody has this").hexdigest()
    with pytest.raises(KeyError) as refused:
        clients[0].get(key)
    assert isinstance(refused.value, qadom.NotFound)
    assert refused.value.reason == "not-found" and str(refused.value).startswith("not-found: ")
    assert clients[0].get(key, None) is None
    assert clients[0].get(key, b"x") == b"x"


def test_many_values_are_put_and_got_each_with_its_own_answer(clients):
    contents = [f"value {number}" for number in range(40)]
    written = clients[0].put_many(iter([*contents, bytes(8193)]))
    assert [each.key for each in written[:-1]] == [
        hashlib.sha256(content.encode()).hexdigest() for content in contents
    ]
    assert isinstance(written[-1], errors.TooLarge) and written[-1].advice
    missing = hashlib.sha256(b"nobody has this").hexdigest()
    keys = [*(each.key for each in written[:-1]), missing, "no key"]
    read = clients[1].get_many(keys)
    assert [each.value.decode() for each in read[:-2]] == contents
    assert [type(each) for each in read[-2:]] == [qadom.NotFound, errors.Malformed]
    assert clients[0].put_many([]) == clients[0].get_many([]) == []
    with pytest.raises(errors.LifetimeTooLong):
        clients[0].put_many(contents, ttl="999d")


def test_many_values_go_in_as_few_requests_as_the_daemon_allows():
    from qadom import _wire

    def lengths(contents):
        return [len(batch) for batch in _wire.value_batches(contents)]

    assert lengths(["x"] * 1024) == [1024] and lengths(["x"] * 1025) == [1024, 1]
    assert lengths([bytes(8192)] * 1025) == [1024, 1] and lengths([bytes(9 << 20)]) == [1]
    assert [len(batch) for batch in _wire.key_batches(range(2049))] == [1024, 1024, 1]


def test_the_dict_is_a_dict(clients, fresh):
    mine, others = clients[0].dict, clients[1].dict
    assert fresh not in others
    mine[fresh] = "green"
    assert others[fresh] == b"green" and fresh in others
    assert others.get(fresh) == b"green" and others.get(fresh + "?") is None
    assert others.get(fresh + "?", 7) == 7
    others[fresh] = b"\x00\xff"
    assert mine[fresh] == b"\x00\xff"
    mine.update({fresh + "/a": "1", fresh + "/b": b"\xfe"}, **{fresh + "c": "3"})
    assert [others[fresh + end] for end in ("/a", "/b", "c")] == [b"1", b"\xfe", b"3"]
    del others[fresh + "/a"]
    assert fresh + "/a" not in mine
    with pytest.raises(KeyError):
        del mine[fresh + "never"]
    with pytest.raises(TypeError):
        list(mine)
    assert 7 not in mine


@pytest.mark.parametrize("name", ["..", ".", "a/b", "ü?#&=%2F", "x" * 256])
def test_names_may_hold_anything(clients, name):
    clients[0].dict[name] = name
    assert clients[1].dict[name] == name.encode()


def test_a_bad_name_of_an_update_is_raised_when_the_others_are_written(clients, fresh):
    with pytest.raises(errors.Malformed):
        clients[0].dict.update({"": "x", fresh: "y"})
    assert clients[1].dict[fresh] == b"y"


def test_a_writer_can_be_pinned(clients, fresh):
    first = clients[0].dict.set(fresh, "first")
    clients[1].dict.set(fresh, "second")
    assert clients[2].dict.get(fresh) == b"second"
    assert clients[2].dict.by(first.writer).get(fresh) == b"first"


def test_a_bag_is_the_union_of_what_all_added(clients, fresh):
    bags = [client.bag(qadom.name(fresh)) for client in clients]
    assert bags[0].items() == set()
    bags[0].add("apple")
    bags[1].add(7)
    bags[2].add("apple")
    assert bags[2].items() == {b"apple", (7).to_bytes(32, "big")}
    listing = bags[0].list()
    assert listing.complete
    assert sorted(len(item.writers) for item in listing.items) == [1, 2]
    page = bags[0].page(1)
    rest = bags[0].page(10, page.cursor)
    assert {item.value for item in page.items + rest.items} == bags[0].items()
    bags[1].remove(7)
    assert bags[0].items() == {b"apple"}
    with pytest.raises(errors.TooLarge):
        bags[0].add(bytes(1025))
    with pytest.raises(errors.Usage):
        bags[0].add(1 << 256)


def test_a_namespace_is_its_writers_alone(clients, fresh):
    key = qadom.name(fresh)
    written = clients[0].namespace().set(key, "one", if_seq=0)
    assert written.seq == 1
    with pytest.raises(errors.StaleSeq) as stale:
        clients[0].namespace().set(key, "again", if_seq=0)
    assert stale.value.held.value == b"one" and stale.value.held.seq == 1
    reader = clients[1].namespace()
    assert reader.get(written.public_key, key) == b"one"
    assert reader.read(int(written.public_key, 16), key, signature=written.signature).seq == 1
    clients[0].namespace().set(key, "two", if_seq=1)
    assert reader.read(written.public_key, key, latest=True).value == b"two"
    clients[0].namespace().delete(key)
    with pytest.raises(qadom.NotFound):
        reader.read(written.public_key, key, latest=True)


def test_a_topic_brings_messages_in_order_and_goes_on_at_a_cursor(clients, fresh):
    publisher = clients[0].topic(fresh)
    with clients[1].topic(fresh).subscribe() as events:
        sent = [f"message {number}".encode() for number in range(5)]
        for message in sent:
            publisher.publish(message)
        stream = iter(events)
        got = [next(stream) for _ in sent]
    assert [event.value for event in got] == sent
    again = iter(clients[2].topic(fresh).subscribe(since=got[1].cursor))
    assert [next(again).value for _ in range(3)] == sent[2:]
    held = iter(clients[2].watch(f"topic:{fresh}", since="0"))
    assert next(held).value == sent[0]


def test_changes_can_be_watched(clients, fresh):
    with clients[1].dict.watch(fresh) as changes:
        clients[0].dict[fresh] = "new"
        event = next(iter(changes))
    assert event.value == b"new" and not event.deleted


def test_publications_are_listed_and_withdrawn(clients, fresh):
    written = clients[0].dict.set(fresh, "kept")
    kept = {publication.key: publication for publication in clients[0].publications()}
    assert kept[written.key].kind == "dict" and kept[written.key].state == "active"
    assert clients[0].withdraw(written.key) == 1
    assert fresh not in clients[1].dict
    once = clients[0].dict.options(once=True, ttl="60s").set(fresh + "once", "x")
    assert once.key not in {publication.key for publication in clients[0].publications()}


def test_lists_come_page_by_page(clients, fresh):
    for number in range(5):
        clients[0].dict[f"{fresh}-{number}"] = "kept"
    whole = clients[0].publications()
    assert len(whole) >= 5 and whole.cursor is None
    pages, cursor = [], "0"
    while cursor is not None:
        page = clients[0].publications(limit=2, cursor=cursor)
        assert 0 < len(page) <= 2
        pages += page
        cursor = page.cursor
    assert [each.key for each in pages] == [each.key for each in whole]
    first = clients[0].peers(limit=1)
    rest = clients[0].peers(limit=10, cursor=first.cursor)
    assert [*first, *rest] == clients[0].peers() and rest.cursor is None
    with pytest.raises(errors.QadomError):
        clients[0].peers(limit=1, cursor="no cursor")


def test_a_block_is_listed_and_taken_back(clients):
    key = hashlib.sha256(b"not here").hexdigest()
    clients[0].block(key, duration="1h")
    blocks = [each for each in clients[0].blocks() if each.what == key]
    # The digits alone may be those of a node or of a key.
    assert {each.kind for each in blocks} == {"node", "key"}
    assert all(each.why == "by-hand" and each.until is not None for each in blocks)
    clients[0].unblock(key)
    assert key not in {each.what for each in clients[0].blocks()}
    with pytest.raises(qadom.NotFound):
        clients[0].unblock(key)


def test_identities_are_made_exported_and_taken_over(clients, fresh):
    name = "alice"
    made = clients[0].new_identity(name)
    assert made.public_key in {identity.public_key for identity in clients[0].identities()}
    secret = clients[0].export_identity(name)
    assert clients[1].new_identity(name, secret).public_key == made.public_key
    written = clients[1].namespace(name).set(qadom.name(fresh), "signed")
    assert written.public_key == made.public_key
    with pytest.raises(errors.QadomError):
        clients[0].dict.options(identity="nobody").set(fresh, "x")


def test_files_are_shared_fetched_and_read(clients, fresh, tmp_path):
    content = os.urandom(700_000)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content)
    steps = []
    shared = clients[0].files.add(source, name=fresh, progress=steps.append)
    assert shared.size == len(content) and shared.chunks == 3
    assert steps[-1].phase == "announcing" and steps[-1].done == len(content)
    fetched = clients[1].files.get(fresh, output=target)
    assert fetched.id == shared.id and target.read_bytes() == content
    assert clients[2].files.read(shared.id) == content
    assert b"".join(clients[2].files.open(shared.id, 10, 20)) == content[10:20]
    assert len(clients[0].files.manifest(shared.id).splitlines()) == 3
    assert clients[0].files.status(shared.id).whole
    assert shared.id in {file.id for file in clients[1].files.list()}
    clients[0].files.remove(shared.id)
    with pytest.raises(qadom.NotFound):
        clients[0].files.remove(shared.id)
    with pytest.raises(errors.QadomError):
        clients[0].files.add(tmp_path / "missing")


def test_a_lookup_is_traced_step_by_step(clients):
    events = list(clients[0].trace("name:x"))
    *steps, end = events
    assert {step.event for step in steps} >= {"asked", "answered"}
    assert isinstance(end, qadom.Lookup) and len(end.closest) == 2
    whole = clients[0].lookup("name:x")
    assert whole.steps and whole.closest == end.closest


def test_the_node_tells_about_itself_and_its_peers(clients):
    status = clients[0].status()
    assert status.verdict == "healthy" and status.peers == 2 and status.local
    peers = clients[0].peers()
    assert {peer.node for peer in peers} == {each.status().node for each in clients[1:]}
    assert clients[0].ping(peers[0].node).rtt_ms > 0
    assert clients[0].doctor().checks


def test_over_tcp_the_token_is_needed(daemons, fresh):
    from conftest import TOKEN

    url = f"http://{daemons[0].http}"
    with qadom.connect(url, token=TOKEN) as client:
        client.dict[fresh] = "over TCP"
        assert client.dict[fresh] == b"over TCP"
    with qadom.connect(url) as client, pytest.raises(errors.Usage) as refused:
        client.status()
    assert refused.value.status == 401


def test_what_is_refused_says_what_to_do(clients):
    with pytest.raises(errors.Malformed) as refused:
        clients[0].get("no key")
    assert "name:" in refused.value.advice
    with pytest.raises(errors.QadomError) as failed:
        clients[0].join("127.0.0.1:1")
    assert failed.value.reason in {"unreachable", "timeout"}


def test_without_a_daemon_every_call_says_so(tmp_path):
    with qadom.Client(data_dir=tmp_path) as client:
        for call in (client.status, lambda: client.put(b"x"), lambda: client.dict["x"]):
            with pytest.raises(qadom.NoDaemon) as missing:
                call()
            assert isinstance(missing.value, ConnectionError)
        with pytest.raises(qadom.NoDaemon):
            next(iter(client.topic("x").subscribe()))


def test_the_daemon_is_found_as_the_command_line_finds_it(monkeypatch, tmp_path, daemons):
    monkeypatch.delenv("QADOM_SOCKET", raising=False)
    monkeypatch.setenv("QADOM_DATA_DIR", str(tmp_path))
    with pytest.raises(qadom.NoDaemon, match=str(tmp_path)), qadom.connect() as client:
        client.status()
    monkeypatch.setenv("QADOM_SOCKET", daemons[0].socket)
    with qadom.connect() as client:
        assert client.status().address == daemons[0].address
    with pytest.raises(errors.Usage):
        qadom.Client(url="http://127.0.0.1:1", socket="x")


def test_a_daemon_that_cannot_start_says_why():
    with pytest.raises(errors.QadomError) as refused:
        qadom.Daemon(listen=["127.0.0.1:70000"]).start()
    assert "70000" in str(refused.value)
    with pytest.raises(qadom.NoDaemon):
        qadom.Daemon(binary="/nowhere/qadom").start()


def test_a_daemon_goes_with_its_folder():
    with qadom.Daemon() as daemon:
        folder = os.path.dirname(daemon.socket)
        assert os.path.exists(daemon.socket)
    assert not os.path.exists(folder)
    with pytest.raises(qadom.NoDaemon):
        daemon.address
