"""SQLite's answers to the requirements of SQLAlchemy's dialect suite, and the dialect registered for it.

SQLAlchemy's own answers for its dialects are not in its package. These were compared with them, one by one,
on the stock dialect of SQLite: with either, the same tests run there.
"""

from __future__ import annotations

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

from turso_sync_nb.connection.dialect import TursoSyncDialect

registry.register("sqlite.turso_sync_nb", "turso_sync_nb.connection.dialect", "TursoSyncDialect")
TursoSyncDialect.load_provisioning = SQLiteDialect_pysqlite.load_provisioning


def names_in(text: str) -> list[str]:
    """Return the words of ``text``."""
    return text.split()


CAN = names_in("""
autocommit boolean_col_expressions check_constraint_reflection computed_columns
computed_columns_reflect_persisted computed_columns_stored computed_columns_virtual create_table_as
create_temp_table_as ctes ctes_with_values date_historic datetime_historic datetime_literals
dbapi_lastrowid emulated_lastrowid emulated_lastrowid_even_with_sequences except_
expression_server_defaults fetch_expression fetch_offset_with_options
fk_constraint_option_reflection_ondelete_noaction fk_constraint_option_reflection_ondelete_restrict
fk_constraint_option_reflection_onupdate_restrict float_or_double_precision_behaves_generically
foreign_key_constraint_name_reflection foreign_key_constraint_option_reflection_ondelete
foreign_key_constraint_option_reflection_onupdate has_temp_table index_ddl_if_exists
indexes_check_column_order indexes_with_expressions infinity_floats
inline_check_constraint_reflection intersect isolation_level json_array_indexes json_type
legacy_unconditional_json_extract mod_operator_as_percent_sign non_updating_cascade nullsordering
nvarchar_types order_by_collation order_by_label_with_expression percent_schema_names
precision_numerics_enotation_small precision_numerics_retains_significant_digits reflects_pk_names
regexp_match repeated_column_foreign_keys server_defaults skip_autocommit_rollback
supports_bitwise_and supports_bitwise_not supports_bitwise_or supports_bitwise_shift
supports_bitwise_xor table_ddl_if_exists temp_table_names temporary_views tuple_in tuple_in_w_empty
unicode_ddl update_from view_column_reflection view_reflection views window_functions window_range
window_range_numeric
""")

CANNOT = names_in("""
foreign_keys implicitly_named_constraints independent_connections independent_readonly_connections
json_index_supplementary_unicode_element numeric_received_as_decimal_untyped on_update_cascade
on_update_or_deferrable_fks parens_in_union_contained_select_w_limit_offset
parens_in_union_contained_select_wo_limit_offset
""")

if "get_table_options" in vars(SQLiteDialect):
    CAN.append("reflect_table_options")


class Requirements(SuiteRequirements):
    """SQLite's answers."""

    def get_order_by_collation(self, config):
        """Return a collation to order by."""
        return "NOCASE"

    def get_isolation_levels(self, config):
        """Return the levels, and which is the default."""
        return {
            "default": "SERIALIZABLE",
            "supported": ["READ UNCOMMITTED", "SERIALIZABLE", "AUTOCOMMIT"],
        }


for _name in CAN:
    setattr(Requirements, _name, property(lambda _: exclusions.open()))
for _name in CANNOT:
    setattr(Requirements, _name, property(lambda _: exclusions.closed()))
