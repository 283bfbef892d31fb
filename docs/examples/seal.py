"""Seals the `credentials` of an account record, so that the connectors alone can read them.

pip install pynacl; python seal.py PUBLIC_KEY < account.json > sealed.json
"""

import json
import sys
from base64 import b64decode, b64encode

from nacl.public import PublicKey, SealedBox

record = json.load(sys.stdin)
owner = {name: record[name] for name in ("channel", "workspace_id", "account_id")}
content = {**owner, "credentials": record.pop("credentials")}
box = SealedBox(PublicKey(b64decode(sys.argv[1])))
record["sealed"] = "v2:" + b64encode(box.encrypt(json.dumps(content).encode())).decode()
json.dump(record, sys.stdout)
