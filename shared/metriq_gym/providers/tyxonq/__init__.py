"""TyxonQ's cloud as a provider: circuits run on quantum processors, for hours or days."""
