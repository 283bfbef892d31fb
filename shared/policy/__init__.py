"""Pure decisions about messages: no I/O, no clock of their own, no channel's name."""
