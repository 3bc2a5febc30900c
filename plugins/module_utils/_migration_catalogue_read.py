# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database's catalogue as hashes: one for each part of each object, in one query (private to the collection).

What counts is what replication and a target that was copied from here depend on. Names are as PostgreSQL writes them
with nothing but pg_catalog in the search path. What Crossover itself puts on a table (its fence trigger) does not
count, nor does what another version of PostgreSQL has without being told to (the NOT NULL constraints of 18).
"""

from __future__ import annotations

from typing import Any

from ._pg_catalog import _SCHEMA_FILTER, Scope

# object ("table shop.orders") -> part ("columns") -> hash
Catalogue = dict[str, dict[str, str]]
OWN = "numbers"  # the part of a sequence that each node of a mesh has for itself

_KINDS = {"r": "table", "p": "table", "f": "foreign table", "v": "view", "m": "materialized view", "c": "type"}
_KIND = "CASE c.relkind " + " ".join(f"WHEN '{k}' THEN '{word}'" for k, word in _KINDS.items()) + " END"

# The type of an extension is named without its schema: that may be another one on the node.
_TYPE = """CASE WHEN x.objid IS NULL THEN format_type(a.atttypid, a.atttypmod)
                ELSE regexp_replace(format_type(a.atttypid, a.atttypmod), '^("[^"]+"|[^".]+)[.]', '') END"""

_QUERY = f"""
WITH ns AS MATERIALIZED (
    SELECT n.oid, quote_ident(n.nspname) AS quoted, n.nspname FROM pg_namespace n WHERE {_SCHEMA_FILTER}
), ext AS MATERIALIZED (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
), out AS MATERIALIZED (
    SELECT c.oid FROM pg_class c JOIN ns ON ns.oid = c.relnamespace
    WHERE (ns.nspname || '.' || c.relname) = ANY (%(excluded)s)
       OR (ns.quoted || '.' || quote_ident(c.relname)) = ANY (%(excluded)s)
), rel AS MATERIALIZED (
    SELECT c.oid, c.relkind, c.relpersistence, c.relreplident, c.relrowsecurity, c.relforcerowsecurity, c.relpartbound,
           c.relispartition,
           {_KIND} || ' ' || ns.quoted || '.' || quote_ident(c.relname) AS object
    FROM pg_class c JOIN ns ON ns.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'c') AND c.relpersistence <> 't' AND c.oid NOT IN (SELECT oid FROM out)
      AND NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_class'::regclass AND objid = c.oid)
), seq AS MATERIALIZED (
    SELECT c.oid, 'sequence ' || ns.quoted || '.' || quote_ident(c.relname) AS object
    FROM pg_class c JOIN ns ON ns.oid = c.relnamespace
    WHERE c.relkind = 'S' AND c.relpersistence <> 't'
      AND NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_class'::regclass AND objid = c.oid)
      AND NOT EXISTS (SELECT FROM pg_depend d JOIN out ON out.oid = d.refobjid
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i'))
), typ AS MATERIALIZED (
    SELECT t.*, ns.quoted || '.' || quote_ident(t.typname) AS name FROM pg_type t JOIN ns ON ns.oid = t.typnamespace
    WHERE t.typtype IN ('e', 'd', 'r')
      AND NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_type'::regclass AND objid = t.oid)
), key AS MATERIALIZED (
    SELECT conindid AS oid FROM pg_constraint WHERE contype IN ('p', 'u', 'x')
), idx AS MATERIALIZED (  -- what pg_get_indexdef() tells, in a fifth of its time
    SELECT i.indrelid,
           concat_ws(E'\\t', min(c.relname), min(m.amname), i.indisunique, i.indnkeyatts, min(c.reloptions::text),
                     pg_get_expr(i.indexprs, i.indrelid), pg_get_expr(i.indpred, i.indrelid),
                     CASE WHEN i.indisunique THEN to_jsonb(i) ->> 'indnullsnotdistinct' END,
                     string_agg(concat_ws(' ', a.attname, o.opcname, k.option,
                                          CASE WHEN k.coll NOT IN (0, 100) THEN k.coll::regcollation::text END),
                                ',' ORDER BY k.at)) AS text
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
         CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indclass::oid[], i.indoption::int2[], i.indcollation::oid[])
             WITH ORDINALITY k (attnum, class, option, coll, at)
         LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
         LEFT JOIN pg_opclass o ON o.oid = k.class
    WHERE i.indisvalid AND i.indrelid IN (SELECT oid FROM rel) AND i.indexrelid NOT IN (SELECT oid FROM key)
      AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = i.indexrelid)
    GROUP BY i.indexrelid
), found (object, part, text) AS (
    SELECT r.object, 'kind',
           concat_ws(E'\\t', r.relkind, r.relpersistence, r.relrowsecurity, r.relforcerowsecurity,
                     pg_get_expr(r.relpartbound, r.oid), CASE r.relkind WHEN 'p' THEN pg_get_partkeydef(r.oid) END,
                     (SELECT string_agg(i.inhparent::regclass::text, ',' ORDER BY i.inhseqno)
                      FROM pg_inherits i WHERE i.inhrelid = r.oid))
    FROM rel r
    UNION ALL
    SELECT min(r.object), 'columns',
           string_agg(concat_ws(E'\\t', a.attname, {_TYPE}, a.attnotnull,
                                a.attgenerated::text,
                                CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END),
                      E'\\n' ORDER BY a.attnum)
    FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
         JOIN pg_type t ON t.oid = a.atttypid
         LEFT JOIN ext x ON x.classid = 'pg_type'::regclass
                        AND x.objid = CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN t.typelem ELSE t.oid END
    GROUP BY r.oid
    UNION ALL
    SELECT min(r.object), 'defaults',  -- identity too: on a node a column that draws snowflakes has a default instead
           string_agg(concat_ws(E'\\t', a.attname, a.attidentity::text, pg_get_expr(d.adbin, d.adrelid)),
                      E'\\n' ORDER BY a.attnum)
    FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    -- a partition has its table's identity since 17
    WHERE d.oid IS NOT NULL OR (a.attidentity <> '' AND NOT r.relispartition)
    GROUP BY r.oid
    UNION ALL
    SELECT min(r.object), 'constraints',
           string_agg(c.conname || E'\\t' || pg_get_constraintdef(c.oid), E'\\n' ORDER BY c.conname)
    FROM rel r JOIN pg_constraint c ON c.conrelid = r.oid
    WHERE c.contype IN ('c', 'f', 'p', 'u', 'x') AND c.conparentid = 0
    GROUP BY r.oid
    UNION ALL
    SELECT min(r.object), 'indexes', string_agg(d.text, E'\\n' ORDER BY d.text COLLATE "C")
    FROM rel r JOIN idx d ON d.indrelid = r.oid
    GROUP BY r.oid
    UNION ALL
    SELECT r.object, 'replica identity',
           r.relreplident::text || coalesce((SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                                             WHERE i.indrelid = r.oid AND i.indisreplident), '')
    FROM rel r WHERE r.relkind IN ('r', 'p')
    UNION ALL
    SELECT min(r.object), 'triggers',
           string_agg(pg_get_triggerdef(t.oid) || E'\\t' || t.tgenabled::text, E'\\n' ORDER BY t.tgname)
    FROM rel r JOIN pg_trigger t ON t.tgrelid = r.oid JOIN pg_proc p ON p.oid = t.tgfoid
         LEFT JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND n.nspname <> ALL (%(not_migrated)s)
    GROUP BY r.oid
    UNION ALL
    SELECT min(r.object), 'policies',
           string_agg(concat_ws(E'\\t', p.polname, p.polcmd::text, p.polpermissive, p.polroles::regrole[]::text,
                                pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)),
                      E'\\n' ORDER BY p.polname)
    FROM rel r JOIN pg_policy p ON p.polrelid = r.oid
    GROUP BY r.oid
    UNION ALL
    SELECT r.object, 'definition', pg_get_viewdef(r.oid) FROM rel r WHERE r.relkind IN ('v', 'm')
    UNION ALL
    SELECT s.object, 'definition',
           concat_ws(E'\\t', format_type(q.seqtypid, NULL), sign(q.seqincrement), q.seqcycle,
                     CASE WHEN q.seqincrement > 0 THEN q.seqmax ELSE q.seqmin END)
    FROM seq s JOIN pg_sequence q ON q.seqrelid = s.oid
    UNION ALL
    SELECT s.object, '{OWN}', concat_ws(E'\\t', q.seqstart, q.seqincrement, q.seqmin, q.seqmax)
    FROM seq s JOIN pg_sequence q ON q.seqrelid = s.oid
    UNION ALL
    SELECT 'type ' || t.name, 'labels', string_agg(e.enumlabel, E'\\n' ORDER BY e.enumsortorder)
    FROM typ t LEFT JOIN pg_enum e ON e.enumtypid = t.oid WHERE t.typtype = 'e' GROUP BY t.name
    UNION ALL
    SELECT 'domain ' || t.name, 'definition',
           concat_ws(E'\\t', format_type(t.typbasetype, t.typtypmod), t.typnotnull, t.typdefault,
                     (SELECT string_agg(c.conname || ' ' || pg_get_constraintdef(c.oid), ',' ORDER BY c.conname)
                      FROM pg_constraint c WHERE c.contypid = t.oid AND c.contype = 'c'))
    FROM typ t WHERE t.typtype = 'd'
    UNION ALL
    SELECT 'type ' || t.name, 'definition', format_type(g.rngsubtype, NULL)
    FROM typ t JOIN pg_range g ON g.rngtypid = t.oid
    UNION ALL
    SELECT 'function ' || ns.quoted || '.' || quote_ident(p.proname) || '('
               || pg_get_function_identity_arguments(p.oid) || ')',
           'definition',
           concat_ws(E'\\t', p.prokind::text, p.prosrc, p.probin, pg_get_function_result(p.oid), l.lanname,
                     p.provolatile::text, p.proparallel::text, p.proisstrict, p.prosecdef, p.proconfig::text,
                     pg_get_function_sqlbody(p.oid))
    FROM pg_proc p JOIN ns ON ns.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
    WHERE NOT EXISTS (SELECT FROM ext WHERE classid = 'pg_proc'::regclass AND objid = p.oid)
    UNION ALL
    SELECT 'extension ' || quote_ident(extname), 'version', extversion FROM pg_extension
)
SELECT object, part, left(md5(coalesce(text, '')), 12) AS hash FROM found
ORDER BY object COLLATE "C", part COLLATE "C"
"""


def read(conn: Any, scope: Scope) -> Catalogue:
    """The catalogue of this session's database. The session's search path must be pg_catalog alone."""
    found: Catalogue = {}
    parameters = {**scope.parameters(), "excluded": list(scope.exclude_tables)}
    for row in conn.execute(_QUERY, parameters):
        found.setdefault(row["object"], {})[row["part"]] = row["hash"]
    return found
