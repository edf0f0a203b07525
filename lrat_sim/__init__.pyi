"""The public face: what `import lrat_sim as ls` offers; each name is imported when it is first used."""

from lrat_sim.agent.profile import (
    AgentSettings as AgentSettings,
)
from lrat_sim.corpus.dataset import (
    Dataset as Dataset,
)
from lrat_sim.errors import (
    InputError as InputError,
)
from lrat_sim.errors import (
    LratSimError as LratSimError,
)
from lrat_sim.errors import (
    NothingCame as NothingCame,
)
from lrat_sim.grading.answers import (
    AnswerJudge as AnswerJudge,
)
from lrat_sim.grading.relevance import (
    RelevanceJudge as RelevanceJudge,
)
from lrat_sim.mining.recipe import (
    MiningRecipe as MiningRecipe,
)
from lrat_sim.records import (
    Call as Call,
)
from lrat_sim.records import (
    Document as Document,
)
from lrat_sim.records import (
    Grade as Grade,
)
from lrat_sim.records import (
    Hit as Hit,
)
from lrat_sim.records import (
    Hop as Hop,
)
from lrat_sim.records import (
    Pair as Pair,
)
from lrat_sim.records import (
    Plan as Plan,
)
from lrat_sim.records import (
    Task as Task,
)
from lrat_sim.records import (
    Trajectory as Trajectory,
)
from lrat_sim.records import (
    Turn as Turn,
)
from lrat_sim.records import (
    Verdict as Verdict,
)
from lrat_sim.retrieval.base import (
    Retriever as Retriever,
)
from lrat_sim.study import (
    AblationSettings as AblationSettings,
)
from lrat_sim.study import (
    CallOptions as CallOptions,
)
from lrat_sim.study import (
    CompareSettings as CompareSettings,
)
from lrat_sim.study import (
    ControlsSettings as ControlsSettings,
)
from lrat_sim.study import (
    FlywheelResult as FlywheelResult,
)
from lrat_sim.study import (
    FlywheelSettings as FlywheelSettings,
)
from lrat_sim.study import (
    ProbeSettings as ProbeSettings,
)
from lrat_sim.study import (
    StudyResult as StudyResult,
)
from lrat_sim.study import (
    SweepSettings as SweepSettings,
)
from lrat_sim.training.settings import (
    TrainingSettings as TrainingSettings,
)
from lrat_sim.verbs import (
    Evaluation as Evaluation,
)
from lrat_sim.verbs import (
    Model as Model,
)
from lrat_sim.verbs import (
    Pairs as Pairs,
)
from lrat_sim.verbs import (
    Run as Run,
)
from lrat_sim.verbs import (
    SearchResult as SearchResult,
)
from lrat_sim.verbs import (
    TaskSet as TaskSet,
)
from lrat_sim.verbs import (
    TaskSets as TaskSets,
)
from lrat_sim.verbs import (
    ablate as ablate,
)
from lrat_sim.verbs import (
    behaviour as behaviour,
)
from lrat_sim.verbs import (
    check as check,
)
from lrat_sim.verbs import (
    compare as compare,
)
from lrat_sim.verbs import (
    controls as controls,
)
from lrat_sim.verbs import (
    convert as convert,
)
from lrat_sim.verbs import (
    demo as demo,
)
from lrat_sim.verbs import (
    evaluate as evaluate,
)
from lrat_sim.verbs import (
    explain as explain,
)
from lrat_sim.verbs import (
    export_pairs as export_pairs,
)
from lrat_sim.verbs import (
    flywheel as flywheel,
)
from lrat_sim.verbs import (
    grade as grade,
)
from lrat_sim.verbs import (
    index as index,
)
from lrat_sim.verbs import (
    merge as merge,
)
from lrat_sim.verbs import (
    mine as mine,
)
from lrat_sim.verbs import (
    prepare as prepare,
)
from lrat_sim.verbs import (
    probe as probe,
)
from lrat_sim.verbs import (
    report as report,
)
from lrat_sim.verbs import (
    rollout as rollout,
)
from lrat_sim.verbs import (
    search as search,
)
from lrat_sim.verbs import (
    serve as serve,
)
from lrat_sim.verbs import (
    split as split,
)
from lrat_sim.verbs import (
    sweep as sweep,
)
from lrat_sim.verbs import (
    train as train,
)
from lrat_sim.verbs import (
    view as view,
)

__version__: str
