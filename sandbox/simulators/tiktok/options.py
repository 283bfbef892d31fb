"""What a run of the simulator can be told to do differently; all of it can change while it runs."""

from __future__ import annotations

from typing import Literal

from sandbox.simulators.common import Behaviour

HOUR_S = 3600
DAY_S = 24 * HOUR_S

EchoTiming = Literal["off", "before", "after"]


class Options(Behaviour):
    """Defaults follow the platform's documentation; durations are seconds."""

    app_id: str = "7611000000000000001"
    app_secret: str = "app_secret_value"

    access_token_lifetime: float = DAY_S
    # Refreshing does not restart it: the account's owner has to come back once a year.
    refresh_token_lifetime: float = 365 * DAY_S
    # Not documented either way; on, it makes a replica that missed a rotation fail at once.
    refresh_ends_old_access: bool = False

    window: float = 48 * HOUR_S
    window_messages: int = 10
    automatic_messages_count: bool = True

    # Per app, all accounts together. 0 switches the limit off.
    queries_per_second: int = 10

    # When `im_send_msg` arrives relative to the HTTP answer of the send that caused it.
    echo: EchoTiming = "after"
    echo_delay: float = 0.05

    # Whether a redelivered webhook repeats the first attempt's timestamp is not documented.
    redelivery_keeps_timestamp: bool = False
