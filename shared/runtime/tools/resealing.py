"""After a rotation of the sealing key: what is sealed to an older key is sealed to the first one."""

from __future__ import annotations

from shared.contract.topics import Topics
from shared.runtime.accounts.sealing import CannotOpen, reseal_credentials
from shared.runtime.accounts.tokens import SealedTokens
from shared.runtime.tools.accounts_file import present_accounts
from shared.stream.log import Log, acknowledged


async def reseal_accounts(
    stream: Log, topics: Topics, channel: str, sealing_keys: str, tokens: SealedTokens | None
) -> dict[str, list[str]]:
    """Publish the channel's records anew that the first key does not open, disabled ones as well.

    Returns account ids under `resealed`, `unchanged` and `unopened` (none of the keys opens the record; it is left as
    it is), and under `tokens` those whose rotating tokens were sealed anew. Raises LogUnavailable and StateUnavailable;
    call it again then.
    """
    outcome: dict[str, list[str]] = {"resealed": [], "unchanged": [], "unopened": [], "tokens": []}
    acks = []
    for account_id, record in sorted((await present_accounts(stream, topics)).items()):
        if record.channel != channel:
            continue
        try:
            anew = record if record.sealed is None else reseal_credentials(record, sealing_keys)
        except CannotOpen:
            outcome["unopened"].append(account_id)
            continue
        outcome["unchanged" if anew is record else "resealed"].append(account_id)
        if anew is not record:
            acks.append(await stream.enqueue(topics.accounts, account_id.encode(), anew.to_json()))
    await acknowledged(acks)
    if tokens is not None:
        opened = (*outcome["resealed"], *outcome["unchanged"])
        outcome["tokens"] = [account_id for account_id in sorted(opened) if await tokens.reseal(account_id)]
    return outcome
