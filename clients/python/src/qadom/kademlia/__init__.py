"""Stands in for the package ``kademlia``: ``from qadom.kademlia.network import Server``."""

from .network import Server

__all__ = ["Server"]
