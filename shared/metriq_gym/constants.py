"""The vocabulary of the Metriq dataset: job types and the schema file of each."""

from enum import StrEnum


class JobType(StrEnum):
    """The benchmarks that ship with metriq-gym; the value is the configuration's ``benchmark_name``."""

    BSEQ = "BSEQ"
    QML_KERNEL = "QML Kernel"
    WIT = "WIT"
    BERNSTEIN_VAZIRANI = "Bernstein-Vazirani"


SCHEMA_MAPPING = {
    JobType.BSEQ: "bseq.schema.json",
    JobType.QML_KERNEL: "qml_kernel.schema.json",
    JobType.WIT: "wit.schema.json",
    JobType.BERNSTEIN_VAZIRANI: "bernstein_vazirani.schema.json",
}
