"""The vocabulary of the Metriq dataset: job types and the schema file of each."""

from enum import StrEnum


class JobType(StrEnum):
    """The benchmarks that ship with metriq-gym; the value is the configuration's ``benchmark_name``."""

    BSEQ = "BSEQ"
    QML_KERNEL = "QML Kernel"
    WIT = "WIT"
    BERNSTEIN_VAZIRANI = "Bernstein-Vazirani"
    PHASE_ESTIMATION = "Phase Estimation"
    HIDDEN_SHIFT = "Hidden Shift"
    QUANTUM_FOURIER_TRANSFORM = "Quantum Fourier Transform"
    CLOPS = "CLOPS"
    EPLG = "EPLG"
    MIRROR_CIRCUITS = "Mirror Circuits"
    QUANTUM_VOLUME = "Quantum Volume"
    LR_QAOA = "Linear Ramp QAOA"
    QAT_OLE = "QAT OLE"


CIRCUIT = "Circuit"
"""The ``benchmark_name`` of a plain circuit, which is no benchmark: it has no score and no place in the dataset."""

SCHEMA_MAPPING = {
    JobType.BSEQ: "bseq.schema.json",
    JobType.QML_KERNEL: "qml_kernel.schema.json",
    JobType.WIT: "wit.schema.json",
    JobType.BERNSTEIN_VAZIRANI: "bernstein_vazirani.schema.json",
    JobType.PHASE_ESTIMATION: "phase_estimation.schema.json",
    JobType.HIDDEN_SHIFT: "hidden_shift.schema.json",
    JobType.QUANTUM_FOURIER_TRANSFORM: "quantum_fourier_transform.schema.json",
    JobType.CLOPS: "clops.schema.json",
    JobType.EPLG: "eplg.schema.json",
    JobType.MIRROR_CIRCUITS: "mirror_circuits.schema.json",
    JobType.QUANTUM_VOLUME: "quantum_volume.schema.json",
    JobType.LR_QAOA: "lr_qaoa.schema.json",
    JobType.QAT_OLE: "qat_ole.schema.json",
}
