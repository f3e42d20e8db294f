"""The official programs' output, read strictly. Sources of the fixtures: shared reference on Android; public reports of
benchmark_model (with and without the [start] column) and of qnn_executor_runner."""

import pytest

from profilers.android.official import OpTime, parse_benchmark_model, parse_executor_runner
from profilers.errors import MeasurementError

PLAIN = """STARTING!
Graph: [/data/local/tmp/m.tflite]
Initialized session in 20.283ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=2 first=339304 curr=266300 min=266300 max=339304 avg=302814 std=36502

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=50 first=266601 curr=266931 min=265837 max=268116 avg=266473 std=419

Inference timings in us: Init: 20283, First inference: 339304, Warmup (avg): 302814, Inference (avg): 266473
Memory footprint delta from the start of the tool (MB): init=6.70312 overall=63.4023
"""

PROFILED = """INFO: STARTING!
INFO: Initialized session in 855ms.
INFO: count=15 first=49060 curr=33682 min=32825 max=49060 avg=34825.1 std=3930
INFO: count=50 first=32891 curr=33978 min=32641 max=34005 avg=3.32094e+04 std=450 p5=32700 median=33100 p95=33990
INFO: Inference timings in us: Init: 855, First inference: 49060, Warmup (avg): 34825.1, Inference (avg): 33209.4
Peak memory footprint (MB): init=0 overall=12.8672
Profiling Info for Benchmark Initialization:
============================== Run Order ==============================
\t             [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]
\t         AllocateTensors\t    0.147\t    0.147\t100.000%\t100.000%\t     0.000\t        1\tAllocateTensors/0

Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Run Order ==============================
\t             [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]
\t     Static Reshape (NC)\t    0.085\t    0.003\t  0.739%\t  4.070%\t     0.000\t        1\tDelegate/Reshape:0
\tFully Connected (NC, PF32) GEMM\t    0.538\t    0.382\t 92.948%\t 97.018%\t     0.000\t        1\tDelegate/Fully:1

============================== Top by Computation Time ==============================
\t             [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]
\tFully Connected (NC, PF32) GEMM\t    0.538\t    0.382\t 92.948%\t 97.018%\t     0.000\t        1\tDelegate/Fully:1
"""

QNN = """I 00:00:00.871914 executorch:qnn_executor_runner.cpp:362] 1 inference took 2.082000 ms, avg 2.082000 ms
I 00:00:00.874214 executorch:qnn_executor_runner.cpp:404] 100 inference took 214.295000 ms, avg 2.142950 ms
"""


def test_what_benchmark_model_tells_and_no_more():
    found = parse_benchmark_model(PLAIN)
    assert (found.n, found.mean, found.minimum, found.maximum) == (50, 266.473, 265.837, 268.116)
    assert (found.load_ms, found.first_ms, found.memory_mib) == (20.283, 339.304, 63.4023)
    assert found.quantiles == {}
    assert found.ops == ()


def test_prefixes_exponents_quantiles_and_the_table_of_operations():
    found = parse_benchmark_model(PROFILED)
    assert found.mean == 33.2094
    assert found.quantiles == {"p5": 32.7, "median": 33.1, "p95": 33.99}
    assert found.memory_mib == 12.8672
    assert found.ops == (
        OpTime("Delegate/Reshape:0", "Static Reshape (NC)", 0.003, 1),
        OpTime("Delegate/Fully:1", "Fully Connected (NC, PF32) GEMM", 0.382, 1),
    )


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("count=50", "amount=50", "1 lines 'count=...'"),
        ("Inference timings in us", "Timings", "no line 'Inference timings in us'"),
        ("avg=266473", "avg=nan", "avg=nan"),
        ("min=265837", "min=-5", "times that cannot be"),
        ("Inference (avg): 266473", "Inference (avg): 1266473", "times that cannot be"),
    ],
)
def test_anything_else_is_refused_and_named(before, after, named):
    assert before in PLAIN
    with pytest.raises(MeasurementError, match=r"cannot be read|no number") as caught:
        parse_benchmark_model(PLAIN.replace(before, after))
    assert named in caught.value.message


def test_executor_runner():
    found = parse_executor_runner(QNN)
    assert (found.n, found.mean, found.first_ms, found.minimum) == (100, 2.14295, 2.082, None)
    portable = "I 00:00:01.1 executorch:executor_runner.cpp:433] Model executed successfully 50 time(s) in 105.5 ms."
    assert (parse_executor_runner(portable).n, parse_executor_runner(portable).mean) == (50, 2.11)
    with pytest.raises(MeasurementError, match="no line"):
        parse_executor_runner("I 00:00:00.382397 executorch:file.cpp:133] Model executed successfully.")
    with pytest.raises(MeasurementError, match="cannot be"):
        parse_executor_runner(QNN.replace("214.295000", "814.295000"))
