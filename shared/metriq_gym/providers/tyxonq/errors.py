"""What can go wrong between us and TyxonQ's cloud.

MetriqGymError
├── Permanent
│   └── TyxonQRefused           the service understood and said no; of a submission, nothing was accepted
├── Transient
│   ├── AuthenticationFailed    the token was not accepted, or its account has nothing left (401, 402, 403)
│   ├── TryLater                (of the port) the same request may succeed later
│   │   ├── RateLimited         too many requests (429)
│   │   ├── Unreachable         no connection, no answer in time, or nobody there to answer (408, 502, 503, 504)
│   │   └── ServerError         any other server error (5xx): perhaps about this request alone
│   └── ProtocolError           an answer came and was not understood
│       └── NoAnswer            what came is no answer of TyxonQ's at all, as a gateway's page is none
└── SubmissionAmbiguous         (of `metriq_gym.errors`) a submission may or may not have been accepted

Of a submission, every error but the last means for certain that nothing was accepted. `SubmissionAmbiguous` is neither
permanent nor transient on purpose: whoever meets it must look for the task first (`metriq_gym.providers.tyxonq.lost`).
"""

from __future__ import annotations

from metriq_gym.errors import Permanent, Transient
from metriq_gym.providers.provider import CredentialTrouble, TryLater


class AuthenticationFailed(CredentialTrouble):
    """TyxonQ did not accept the token; check METRIQ_TYXONQ_TOKEN."""


class TyxonQRefused(Permanent):
    """TyxonQ refused the request."""


class RateLimited(TryLater):
    """TyxonQ asks for fewer requests."""


class Unreachable(TryLater):
    """TyxonQ cannot be reached or does not work at the moment."""


class ServerError(TryLater):
    """TyxonQ failed to answer this request."""


class ProtocolError(Transient):
    """TyxonQ sent an answer that could not be understood."""


class NoAnswer(ProtocolError):
    """What came in place of an answer is not TyxonQ's: it says nothing about what was asked."""
