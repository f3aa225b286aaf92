from tests.hub.conftest import adm_small, network

__all__ = ["adm_small", "network"]
