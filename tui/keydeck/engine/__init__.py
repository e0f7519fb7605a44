"""The engine that an agent imports and the dashboard runs. It knows no screen.

Importing it loads neither yaml nor filelock nor jwt; they come with the first use that needs them.
"""

from keydeck.engine.credential import BadRow, Credential, Row
from keydeck.engine.errors import (
    ConfigBroken,
    ConfigError,
    ConfigReadOnly,
    HomeError,
    KeydeckError,
    LockBusy,
    Refused,
    StoreCorrupt,
    StoreError,
    StoreReadOnly,
    StoreTooNew,
    StoreUnreadable,
    TargetError,
)
from keydeck.engine.home import Home, Surroundings, locate_home
from keydeck.engine.pool import CredentialPool, load_pool
from keydeck.engine.pool_config import (
    get_custom_provider_pool_key,
    get_pool_strategy,
    list_custom_pool_providers,
)
from keydeck.engine.secret import Secret
from keydeck.engine.snapshot import HomeReader, HomeSnapshot, PoolSnapshot
from keydeck.engine.state import Health, HealthKind, PoolState, RowState
from keydeck.engine.waiting import WaitKind, WaitState

__all__ = [
    "BadRow",
    "ConfigBroken",
    "ConfigError",
    "ConfigReadOnly",
    "Credential",
    "CredentialPool",
    "Health",
    "HealthKind",
    "Home",
    "HomeError",
    "HomeReader",
    "HomeSnapshot",
    "KeydeckError",
    "LockBusy",
    "PoolSnapshot",
    "PoolState",
    "Refused",
    "Row",
    "RowState",
    "Secret",
    "StoreCorrupt",
    "StoreError",
    "StoreReadOnly",
    "StoreTooNew",
    "StoreUnreadable",
    "Surroundings",
    "TargetError",
    "WaitKind",
    "WaitState",
    "get_custom_provider_pool_key",
    "get_pool_strategy",
    "list_custom_pool_providers",
    "load_pool",
    "locate_home",
]
