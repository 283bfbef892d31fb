"""A WhatsApp Cloud API simulator: Meta's Graph endpoints, signed webhooks, and people to talk to."""

from sandbox.simulators.whatsapp.behaviour import Behaviour
from sandbox.simulators.whatsapp.errors import GraphError
from sandbox.simulators.whatsapp.model import Customer, Group, Number, Sent
from sandbox.simulators.whatsapp.platform import APP_ID, APP_SECRET, PHONE_NUMBER_ID, TOKEN, WABA_ID
from sandbox.simulators.whatsapp.simulator import WhatsAppSimulator
from sandbox.simulators.whatsapp.templates import Template

__all__ = [
    "APP_ID",
    "APP_SECRET",
    "PHONE_NUMBER_ID",
    "TOKEN",
    "WABA_ID",
    "Behaviour",
    "Customer",
    "GraphError",
    "Group",
    "Number",
    "Sent",
    "Template",
    "WhatsAppSimulator",
]
