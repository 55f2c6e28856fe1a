"""No module of the product imports itself by way of others, not even inside a function or for its types alone."""

from __future__ import annotations

from graphlib import TopologicalSorter

import grimp


def test_no_imports_go_in_a_circle() -> None:
    graph = grimp.build_graph("bots", "tuning", "rag", cache_dir=None)
    modules = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(modules).prepare()  # raises CycleError, which names the circle
    assert "bots.bootstrap" in modules
