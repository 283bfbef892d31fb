"""How the simulated Meta behaves: delays and oddities that the control API may change at any moment, and faults."""

from __future__ import annotations

from pydantic import Field

from sandbox.simulators import common
from sandbox.simulators.common import Fault, Faults

Share = Field(default=0.0, ge=0, le=1)  # of messages or statuses it happens to


class Behaviour(common.Behaviour):
    """Delays are simulated seconds; shares go from 0 (never) to 1 (always).

    `early`: the `sent` webhook is delivered before the HTTP answer of the send. `skip_delivered`: `delivered` is left
    out (a `read` then implies it). `disorder`: a status is held back by up to `disorder_by` seconds. `repeat`: a status
    is sent twice, in different POSTs. `open_world`: whoever is written to is on WhatsApp and has just written to us.
    """

    sent_after: float = Field(default=0.02, ge=0)
    delivered_after: float = Field(default=0.1, ge=0)
    read_after: float | None = Field(default=None, ge=0)
    played_after: float | None = Field(default=None, ge=0)
    early: float = Share
    skip_delivered: float = Share
    disorder: float = Share
    disorder_by: float = Field(default=5.0, ge=0)
    repeat: float = Share
    contacts_on_statuses: bool = True
    media_url_in_webhook: bool = True
    webhook_version: float = Field(default=25.0, description="statuses carry `conversation` below 24.0")
    open_world: bool = False
    pair_limit: bool = True
    throughput_limit: bool = True
    batch_max: int = Field(default=1000, ge=1, le=1000)
    batch_linger: float = Field(default=0.01, ge=0, description="real seconds a POST waits for company")
    merge_values: bool = Field(default=True, description="one change carries many items; False: one change each")
    retry_for: float = Field(default=7 * 24 * 3600.0, gt=0)


class GraphFault(Fault):
    """A fault that may name a Graph error code: `error` then answers Meta's envelope.

    The HTTP status is the one given, else the table's.
    """

    code: int | None = None

    @property
    def http(self) -> int | None:
        """The HTTP status somebody asked for, else None."""
        return self.status if "status" in self.model_fields_set else None


class GraphFaults(Faults[GraphFault]):
    """The active faults. `where` may match:

    - `call`: send, read, upload, media, download, delete, node, block, subscribe, ... (the Graph call);
      `status` fails an accepted message later, by webhook; `webhook` is a delivery;
    - `account` (a phone number id; `phone_number_id` is the same), `id` (the path's node), `method`; for sends also
      `type` and `to` (number, BSUID or group); for downloads `waba_id`;
    - for webhooks `app_id`, `field`, `updates`.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(GraphFault, seed)

    def find(self, kinds: frozenset[str], **facts: object) -> GraphFault | None:
        """The first fault of `kinds` that matches and fires; one firing is used up."""
        return self.take(kinds, facts) if self.active else None
