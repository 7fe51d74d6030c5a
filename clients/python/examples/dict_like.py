"""What py2p's chord socket had: the network as a dict, ``get`` with a default, ``update``.

Run it: python examples/dict_like.py
"""

import qadom

with qadom.Daemon() as first, qadom.Daemon(join=[first.address]) as second:
    with first.client() as one, second.client() as other:
        names = one.dict
        names["colour"] = "green"
        names.update({"shape": "round", "taste": b"\x00sour"})
        print(other.dict["colour"], other.dict["shape"], other.dict["taste"])
        print(other.dict.get("smell", b"none"), "smell" in other.dict)
        del names["shape"]
        try:
            other.dict["shape"]
        except KeyError as error:
            print("gone:", error)
