"""IBM Quantum, by `qiskit-ibm-runtime`; the extra ``ibm`` brings it."""
