"""Leadwire: webhooks of billing systems and CRMs in, HubSpot lead updates out."""

__version__ = "0.1.0"
