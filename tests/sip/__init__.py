"""Tests of cti/sip."""
