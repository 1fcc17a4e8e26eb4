"""Which faults of MongoDB pass by themselves, so that whoever meets one tries again."""

from __future__ import annotations

import pytest
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    CursorNotFound,
    DuplicateKeyError,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
    WTimeoutError,
)

from metriq_gym.errors import Unavailable
from metriq_gym.store.mongo import translated

STEPPED_DOWN = {"code": 11602, "errmsg": "operation was interrupted"}


@translated
async def call(error: PyMongoError) -> None:
    raise error


@pytest.mark.parametrize(
    "error",
    [
        AutoReconnect("connection closed"),
        NetworkTimeout("timed out"),
        ServerSelectionTimeoutError("no primary"),
        WTimeoutError("waiting for replication timed out", 64),
        # A primary that steps down while a write waits for the majority; such a write has no label that says so.
        WriteConcernError("operation was interrupted", 11602, STEPPED_DOWN),
        BulkWriteError({"writeErrors": [], "writeConcernErrors": [STEPPED_DOWN]}),
        OperationFailure("read concern majority reads are not possible yet", 134),
        OperationFailure("not authorized", 13),
        CursorNotFound("cursor id 7 not found", 43),
        # A member that goes back to what the others have, while something is read from it.
        OperationFailure("the catalog was closed and reopened", 175),
        OperationFailure("operation was interrupted", 11601),
        OperationFailure("cache pressure", 365),
        OperationFailure("no space left on device", 14031),
        BulkWriteError({"writeErrors": [{"code": 11601}, {"code": 11000}], "writeConcernErrors": []}),
    ],
    ids=str,
)
async def test_a_fault_that_passes_is_one_to_wait_for(error: PyMongoError) -> None:
    with pytest.raises(Unavailable):
        await call(error)


@pytest.mark.parametrize(
    "error",
    [
        DuplicateKeyError("duplicate key", 11000),
        OperationFailure("unknown operator", 2),
        BulkWriteError({"writeErrors": [{"code": 11000}], "writeConcernErrors": []}),
        BulkWriteError({"writeErrors": [{"code": 2}, {"code": 112}], "writeConcernErrors": []}),
    ],
    ids=str,
)
async def test_a_fault_that_stays_is_none(error: PyMongoError) -> None:
    with pytest.raises(type(error)):
        await call(error)
