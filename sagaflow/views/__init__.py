"""What people are shown of sagas, made of what records and definitions say: pure functions, without engine or I/O.

Drawings (``mermaid``, ``dot``, ``svg``), explanations of a class (``explain``), the dry run of an act (``plan_undo``),
what is waited for (``waits``), and plain data for JSON (``saga_data``). Commands and pages only print them.
"""

from .explaining import Consequence, Explanation, StepExplanation, explain
from .graph import Drawable, Graph, Node, graph_of
from .plain import answer_data, as_builtins, page_data, saga_data, saga_summary
from .planning import Act, ActPlan, Awaited, plan_act, plan_undo
from .redaction import REDACTED, Redaction
from .rehearsing import Because, Kept, Outcome, Undo, Wave
from .shapes import AnswerData, ErrorData, PageData, SagaData, SagaSummary, StepData, TrackData
from .svg import svg
from .text import dot, mermaid
from .waiting import Wait, WaitsFor, waits

__all__ = [
    "REDACTED",
    "Act",
    "ActPlan",
    "AnswerData",
    "Awaited",
    "Because",
    "Consequence",
    "Drawable",
    "ErrorData",
    "Explanation",
    "Graph",
    "Kept",
    "Node",
    "Outcome",
    "PageData",
    "Redaction",
    "SagaData",
    "SagaSummary",
    "StepData",
    "StepExplanation",
    "TrackData",
    "Undo",
    "Wait",
    "WaitsFor",
    "Wave",
    "answer_data",
    "as_builtins",
    "dot",
    "explain",
    "graph_of",
    "mermaid",
    "page_data",
    "plan_act",
    "plan_undo",
    "saga_data",
    "saga_summary",
    "svg",
    "waits",
]
