"""Simulated customers over real SIP and RTP, for the demo and for the tests."""

from cti.customers.child import Customers
from cti.customers.people import People
from cti.customers.sounds import SILENCE, Sound, machine, share, tone, voice
from cti.customers.telephone import CustomerCall, Telephone

__all__ = [
    "SILENCE",
    "CustomerCall",
    "Customers",
    "People",
    "Sound",
    "Telephone",
    "machine",
    "share",
    "tone",
    "voice",
]
