"""From a statement's text to a plan: what it touches, where it goes, what each shard is sent and how answers merge.

Nouns:
- *Tokens* (`lexer`): the cut text; a *fingerprint* is the text with its literals taken out.
- *Syntax tree* (`syntax`, read by `expressions`, `calls`, `queries`, `changes`): what planning must know, with the
  place of everything in the text. Text is never written out again from a tree: it is *cut* (`cutting`).
- *Scope* (`scope`): the query blocks of a statement, their *sources* and which table a column name means.
- *Route* (`sharding` decides, `plan` names the variants): to which shards a statement goes.
- *Plan* (`plan`): what the session and the executor act on. Shared by statements that differ in literals only.
- *Template* (`template`): SQL text with holes: literals, parameters, session values, tables in the form of [R3].
- *Scatter* and *merge* (`scatter`, `merge_spec`): what several shards are asked, and how their answers become one.

The rule over all of it: what cannot be answered rightly is refused by name (NotSupported, error 1235). Where to add a
function, see `functions`; a clause, `queries` and then `scatter`; a whole statement, `planner`.
"""

from proxy.sql.plan import Plan, Planned
from proxy.sql.planner import Planner

__all__ = ["Plan", "Planned", "Planner"]
