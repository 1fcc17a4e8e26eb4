"""A stand-in for TyxonQ's cloud: the documented API, real noise, and every fault a client should survive."""
