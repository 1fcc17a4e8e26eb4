"""Run by the interpreter of the reference tool's environment: one line of JSON in for a run, one out with what came."""

# mypy: ignore-errors
import argparse
import json
import os
import random
import sys
import tempfile
from dataclasses import asdict


def run(config, device_id, seed):
    """Dispatch, simulate and score as the tool's own commands do."""
    import numpy as np

    from metriq_gym.constants import JobType
    from metriq_gym.run import load_job, setup_benchmark, setup_device
    from metriq_gym.schema_validator import validate_and_create_model

    random.seed(seed)
    np.random.seed(seed)
    device = setup_device("local", device_id)
    # Aer gives each trajectory the seed after the one before, so that neighbouring seeds share all shots but one.
    device._backend.set_options(seed_simulator=seed * 10**7)
    params = validate_and_create_model(config)
    handler = setup_benchmark(argparse.Namespace(), params, JobType(params.benchmark_name))
    data = handler.dispatch_handler(device)
    jobs = [load_job(job_id, provider="local", **asdict(data)) for job_id in data.provider_job_ids]
    result = handler.poll_handler(data, [job.result().data for job in jobs], jobs)
    return json.loads(result.model_dump_json())


def with_path(config, folder):
    """Return a configuration whose circuit stands in a file, which is the only way that the tool takes it."""
    if "qasm" not in config:
        return config
    path = os.path.join(folder, "circuit.qasm")
    with open(path, "w", encoding="utf-8") as file:
        file.write(config["qasm"])
    return {key: value for key, value in config.items() if key != "qasm"} | {"qasm_path": path}


def main():
    """Answer each line of standard input; what the tool prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MGYM_LOCAL_DB_DIR"] = os.environ["MGYM_LOCAL_SIMULATOR_CACHE_DIR"] = folder
        for line in sys.stdin:
            asked = json.loads(line)
            config = with_path(asked["config"], folder)
            started = sum(os.times()[:4])
            try:
                answer = {"results": run(config, asked["device"], asked["seed"])}
            except Exception as error:
                answer = {"refused": f"{type(error).__name__}: {error}"}
            print(json.dumps({**answer, "seconds": sum(os.times()[:4]) - started}), file=answers, flush=True)


if __name__ == "__main__":
    main()
