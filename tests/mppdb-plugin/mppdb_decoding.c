/*
 * mppdb_decoding for PostgreSQL: renders WAL as the plugin of the same name in openGauss and GaussDB does, serial and in the parallel
 * styles b, j and t, single and batched. For tests: the decoders meet real transactions, TOAST and sub-transactions with it.
 *
 * What differs from the plugin it stands for: parallel styles are written by one thread, so nothing is lost behind a catalog change
 * and keepalives are PostgreSQL's; the CSN is the LSN of the commit record. A plugin has no timer: a batch that is not full goes out with
 * a commit where no WAL is waiting, and with the third commit in it, so under load the last two may wait for another.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "replication/logical.h"
#include "replication/origin.h"
#include "replication/output_plugin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks *cb);

/* A batch is sent when it passes this, the header of the message included. */
#define BATCH_BYTES (1024 * 1024)
#define HEADER_BYTES 25
/* Commits in a batch that is sent before it is full. */
#define BATCH_COMMITS 3

typedef struct Plugin
{
	MemoryContext scratch;
	char		style;			/* 0 serial, else b, j or t */
	bool		batched;
	bool		include_xids;
	bool		include_timestamp;
	bool		skip_empty;
	bool		only_local;
	List	   *white_list;		/* of "schema.table", "*" for any */
	StringInfoData batch;
	int			batch_commits;
} Plugin;

/* What a transaction has written. */
typedef struct Written
{
	bool		began;
} Written;

/* One column of an image; value NULL for NULL. */
typedef struct Cell
{
	const char *name;
	Oid			type;
	char	   *value;
} Cell;

static bool
flag(DefElem *option, bool missing)
{
	bool		value;

	if (option->arg == NULL)
		return missing;
	if (!parse_bool(strVal(option->arg), &value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("could not parse value \"%s\" for parameter \"%s\"", strVal(option->arg), option->defname)));
	return value;
}

static int
number(DefElem *option, int lowest, int highest)
{
	char	   *end = NULL;
	long		value = option->arg ? strtol(strVal(option->arg), &end, 10) : lowest - 1L;

	if (value < lowest || value > highest || (end && *end))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("could not parse value \"%s\" for parameter \"%s\"",
						option->arg ? strVal(option->arg) : "(null)", option->defname)));
	return (int) value;
}

static void
white_list(Plugin *plugin, char *text)
{
	for (char *entry = strtok(pstrdup(text), ","); entry; entry = strtok(NULL, ","))
	{
		while (*entry == ' ')
			entry++;
		if (!strchr(entry, '.'))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("white-table-list entry \"%s\" has no schema", entry)));
		plugin->white_list = lappend(plugin->white_list, pstrdup(entry));
	}
}

static bool
is_one_of(const char *name, const char *const *names)
{
	while (*names && strcmp(name, *names) != 0)
		names++;
	return *names != NULL;
}

static void
startup(LogicalDecodingContext *ctx, OutputPluginOptions *opt, bool is_init)
{
	static const char *const parallel_only[] = {"decode-style", "sending-batch", "parallel-queue-size", NULL};
	static const char *const without_effect[] = {"include-originid", "standby-connection", "sender-timeout",
	"max-txn-in-memory", "max-reorderbuffer-in-memory", "force-binary", NULL};
	Plugin	   *plugin = palloc0(sizeof(Plugin));
	bool		parallel = false;
	bool		timestamp_told = false;
	ListCell   *cell;

	plugin->scratch = AllocSetContextCreate(ctx->context, "mppdb_decoding row", ALLOCSET_DEFAULT_SIZES);
	plugin->include_xids = true;
	plugin->only_local = true;
	initStringInfo(&plugin->batch);
	ctx->output_plugin_private = plugin;

	foreach(cell, ctx->output_plugin_options)
	{
		DefElem    *option = lfirst(cell);

		if (strcmp(option->defname, "parallel-decode-num") == 0)
			parallel = number(option, 1, 20) > 1;
	}
	plugin->style = parallel ? 'b' : 0;
	foreach(cell, ctx->output_plugin_options)
	{
		DefElem    *option = lfirst(cell);
		const char *name = option->defname;

		if (strcmp(name, "include-xids") == 0)
			plugin->include_xids = flag(option, true);
		else if (strcmp(name, "include-timestamp") == 0)
		{
			plugin->include_timestamp = flag(option, false);
			timestamp_told = true;
		}
		else if (strcmp(name, "skip-empty-xacts") == 0)
			plugin->skip_empty = flag(option, false);
		else if (strcmp(name, "only-local") == 0)
			plugin->only_local = flag(option, true);
		else if (strcmp(name, "white-table-list") == 0 && option->arg)
			white_list(plugin, strVal(option->arg));
		else if (strcmp(name, "parallel-decode-num") == 0 || is_one_of(name, without_effect))
			;
		else if (parallel && is_one_of(name, parallel_only))
		{
			char		first = option->arg ? *strVal(option->arg) : 0;

			if (strcmp(name, "sending-batch") == 0)
				plugin->batched = number(option, 0, 1) == 1;
			else if (strcmp(name, "decode-style") == 0 && (first == 'b' || first == 'j' || first == 't'))
				plugin->style = first;
			else if (strcmp(name, "decode-style") == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("could not parse value \"%s\" for parameter \"%s\"",
								option->arg ? strVal(option->arg) : "(null)", name)));
		}
		else
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" = \"%s\" is unknown", name, option->arg ? strVal(option->arg) : "(null)")));
	}
	if (!timestamp_told)
		plugin->include_timestamp = !parallel;
	opt->output_type = (plugin->style == 'b' || plugin->batched) ? OUTPUT_PLUGIN_BINARY_OUTPUT : OUTPUT_PLUGIN_TEXTUAL_OUTPUT;
}

static bool
filter_origin(LogicalDecodingContext *ctx, RepOriginId origin)
{
	Plugin	   *plugin = ctx->output_plugin_private;

	return plugin->only_local && origin != InvalidRepOriginId;
}

/* ---- records and payloads ---- */

static void
put16(StringInfo out, uint16 value)
{
	appendStringInfoChar(out, (char) (value >> 8));
	appendStringInfoChar(out, (char) value);
}

static void
put32(StringInfo out, uint32 value)
{
	put16(out, (uint16) (value >> 16));
	put16(out, (uint16) value);
}

static void
put64(StringInfo out, uint64 value)
{
	put32(out, (uint32) (value >> 32));
	put32(out, (uint32) value);
}

static void
send_payload(LogicalDecodingContext *ctx, const char *bytes, int length, bool last)
{
	OutputPluginPrepareWrite(ctx, last);
	appendBinaryStringInfo(ctx->out, bytes, length);
	OutputPluginWrite(ctx, last);
}

/* Sends the batch; "by size": its last record is marked as the last, else a length of zero ends it, as a timer would do. */
static void
flush_batch(LogicalDecodingContext *ctx, bool by_size)
{
	Plugin	   *plugin = ctx->output_plugin_private;

	if (plugin->batch.len == 0)
		return;
	if (plugin->style == 'b' && by_size)
		plugin->batch.data[plugin->batch.len - 1] = 'F';
	else
		put32(&plugin->batch, 0);
	send_payload(ctx, plugin->batch.data, plugin->batch.len, true);
	resetStringInfo(&plugin->batch);
	plugin->batch_commits = 0;
}

/* One record: a line, an object, or the part of a style b record behind its length and LSN. */
static void
record(LogicalDecodingContext *ctx, XLogRecPtr lsn, StringInfo body, bool last)
{
	Plugin	   *plugin = ctx->output_plugin_private;
	StringInfoData framed;
	StringInfo	out = &plugin->batch;

	if (plugin->style != 'b' && !plugin->batched)
	{
		send_payload(ctx, body->data, body->len, last);
		return;
	}
	if (!plugin->batched)
	{
		initStringInfo(&framed);
		out = &framed;
	}
	put32(out, (uint32) body->len + 8);
	put64(out, lsn);
	appendBinaryStringInfo(out, body->data, body->len);
	if (plugin->style == 'b')
		appendStringInfoChar(out, plugin->batched ? 'P' : 'F');
	if (!plugin->batched)
		send_payload(ctx, framed.data, framed.len, last);
	else if (plugin->batch.len + HEADER_BYTES > BATCH_BYTES)
		flush_batch(ctx, true);
}

/* ---- transactions ---- */

static void
begin_transaction(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, bool last)
{
	Plugin	   *plugin = ctx->output_plugin_private;
	MemoryContext old = MemoryContextSwitchTo(plugin->scratch);
	const char *time = timestamptz_to_str(txn->xact_time.commit_time);
	StringInfoData out;

	initStringInfo(&out);
	((Written *) txn->output_plugin_private)->began = true;
	switch (plugin->style)
	{
		case 0:
			appendStringInfoString(&out, "BEGIN");
			if (plugin->include_xids)
				appendStringInfo(&out, " %u", txn->xid);
			break;
		case 'b':
			appendStringInfoChar(&out, 'B');
			put64(&out, txn->final_lsn);
			put64(&out, txn->first_lsn);
			if (plugin->include_xids)
			{
				appendStringInfoChar(&out, 'X');
				put64(&out, txn->xid);
			}
			if (plugin->include_timestamp)
			{
				appendStringInfoChar(&out, 'T');
				put32(&out, (uint32) strlen(time));
				appendStringInfoString(&out, time);
			}
			break;
		default:
			appendStringInfo(&out, "BEGIN CSN: " UINT64_FORMAT " first_lsn: %X/%X", txn->final_lsn,
							 LSN_FORMAT_ARGS(txn->first_lsn));
			if (plugin->include_xids)
				appendStringInfo(&out, " xid: %u", txn->xid);
			if (plugin->include_timestamp)
				appendStringInfo(&out, " commit_time: %s", time);
	}
	record(ctx, txn->first_lsn, &out, last);
	MemoryContextSwitchTo(old);
	MemoryContextReset(plugin->scratch);
}

static void
begin(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	Plugin	   *plugin = ctx->output_plugin_private;

	txn->output_plugin_private = MemoryContextAllocZero(ctx->context, sizeof(Written));
	if (!plugin->skip_empty)
		begin_transaction(ctx, txn, true);
}

static void
commit(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr commit_lsn)
{
	Plugin	   *plugin = ctx->output_plugin_private;
	bool		began = ((Written *) txn->output_plugin_private)->began;
	MemoryContext old;
	const char *time;
	StringInfoData out;

	pfree(txn->output_plugin_private);
	txn->output_plugin_private = NULL;
	if (!began)
		return;
	old = MemoryContextSwitchTo(plugin->scratch);
	time = timestamptz_to_str(txn->xact_time.commit_time);
	initStringInfo(&out);
	if (plugin->style == 'b')
	{
		appendStringInfoChar(&out, 'C');
		if (plugin->include_xids)
		{
			appendStringInfoChar(&out, 'X');
			put64(&out, txn->xid);
		}
		if (plugin->include_timestamp)
		{
			appendStringInfoChar(&out, 'T');
			put32(&out, (uint32) strlen(time));
			appendStringInfoString(&out, time);
		}
	}
	else
	{
		appendStringInfoString(&out, plugin->style ? "commit" : "COMMIT");
		if (plugin->include_xids)
			appendStringInfo(&out, plugin->style ? " xid: %u" : " %u", txn->xid);
		if (plugin->include_timestamp)
			appendStringInfo(&out, " (at %s)", time);
		if (!plugin->style)
			appendStringInfo(&out, " CSN " UINT64_FORMAT, txn->final_lsn);
	}
	record(ctx, txn->end_lsn, &out, true);
	if (plugin->batched && (++plugin->batch_commits >= BATCH_COMMITS || txn->end_lsn >= GetFlushRecPtr(NULL)))
		flush_batch(ctx, false);
	MemoryContextSwitchTo(old);
	MemoryContextReset(plugin->scratch);
}

/* ---- values ---- */

/* 0.5 as .5 and -0.5 as -.5, also behind a brace or comma of an array. */
static char *
without_leading_zeros(char *text)
{
	char	   *to = text;
	char		before = 0;

	for (char *from = text; *from; from++)
	{
		bool		first = before == 0 || before == '{' || before == ',' || before == '-';

		if (!(*from == '0' && from[1] == '.' && first))
			*to++ = *from;
		before = *from;
	}
	*to = 0;
	return text;
}

static char *
output(Oid type, Datum value)
{
	Oid			function;
	bool		varlena;

	getTypeOutputInfo(type, &function, &varlena);
	if (varlena && VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(value)))
	{
		/* An unchanged value is not in the WAL. As the plugin this one stands for, read it from the table. */
		PushActiveSnapshot(GetTransactionSnapshot());
		value = PointerGetDatum(PG_DETOAST_DATUM(value));
		PopActiveSnapshot();
	}
	else if (varlena)
		value = PointerGetDatum(PG_DETOAST_DATUM(value));
	/* Up to 18 significant digits of a double and 9 of a float, which come back exactly and are not the shortest. */
	if (type == FLOAT8OID && isfinite(DatumGetFloat8(value)))
		return without_leading_zeros(psprintf("%.18g", DatumGetFloat8(value)));
	if (type == FLOAT4OID && isfinite(DatumGetFloat4(value)))
		return without_leading_zeros(psprintf("%.9g", (double) DatumGetFloat4(value)));
	if (type == NUMERICOID || get_element_type(type) == NUMERICOID)
		return without_leading_zeros(OidOutputFunctionCall(function, value));
	return OidOutputFunctionCall(function, value);
}

static void
literal(StringInfo out, Oid type, const char *value)
{
	if (value == NULL)
	{
		appendStringInfoString(out, "null");
		return;
	}
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			appendStringInfoString(out, value);
			break;
		case BOOLOID:
			appendStringInfoString(out, *value == 't' ? "true" : "false");
			break;
		case BITOID:
		case VARBITOID:
			appendStringInfo(out, "B'%s'", value);
			break;
		default:
			appendStringInfoChar(out, '\'');
			for (; *value; value++)
			{
				if (*value == '\'')
					appendStringInfoChar(out, '\'');
				appendStringInfoChar(out, *value);
			}
			appendStringInfoChar(out, '\'');
	}
}

/* A JSON string, escaped as cJSON does, byte by byte. */
static void
json_string(StringInfo out, const char *text)
{
	appendStringInfoChar(out, '"');
	for (; *text; text++)
	{
		unsigned char byte = (unsigned char) *text;

		switch (byte)
		{
			case '"':
			case '\\':
				appendStringInfoChar(out, '\\');
				appendStringInfoChar(out, *text);
				break;
			case '\b':
				appendStringInfoString(out, "\\b");
				break;
			case '\f':
				appendStringInfoString(out, "\\f");
				break;
			case '\n':
				appendStringInfoString(out, "\\n");
				break;
			case '\r':
				appendStringInfoString(out, "\\r");
				break;
			case '\t':
				appendStringInfoString(out, "\\t");
				break;
			default:
				if (byte < 0x20)
					appendStringInfo(out, "\\u%04x", byte);
				else
					appendStringInfoChar(out, *text);
		}
	}
	appendStringInfoChar(out, '"');
}

/* ---- rows ---- */

/* The columns of a tuple, or those of the identity; NIL for none. */
static List *
image(Relation relation, HeapTuple tuple, Bitmapset *identity)
{
	TupleDesc	columns = RelationGetDescr(relation);
	List	   *cells = NIL;

	if (tuple == NULL)
		return NIL;
	for (int n = 0; n < columns->natts; n++)
	{
		Form_pg_attribute column = TupleDescAttr(columns, n);
		bool		null;
		Datum		value;
		Cell	   *cell;

		if (column->attisdropped ||
			(identity && !bms_is_member(column->attnum - FirstLowInvalidHeapAttributeNumber, identity)))
			continue;
		value = heap_getattr(tuple, n + 1, columns, &null);
		cell = palloc0(sizeof(Cell));
		cell->name = quote_identifier(NameStr(column->attname));
		cell->type = column->atttypid;
		cell->value = null ? NULL : output(column->atttypid, value);
		cells = lappend(cells, cell);
	}
	return cells;
}

static void
json_array(StringInfo out, const char *key, List *cells, char part)
{
	ListCell   *at;
	const char *comma = "";

	appendStringInfo(out, ",\"%s\":[", key);
	foreach(at, cells)
	{
		Cell	   *cell = lfirst(at);
		StringInfoData value;

		appendStringInfoString(out, comma);
		comma = ",";
		if (part == 'n')
			json_string(out, cell->name);
		else if (part == 't')
			json_string(out, format_type_be(cell->type));
		else
		{
			initStringInfo(&value);
			literal(&value, cell->type, cell->value);
			json_string(out, value.data);
		}
	}
	appendStringInfoChar(out, ']');
}

static void
json_row(StringInfo out, const char *schema, const char *table, const char *op, List *new_image, List *old_image)
{
	appendStringInfoString(out, "{\"table_name\":");
	json_string(out, quote_qualified_identifier(schema, table));
	appendStringInfo(out, ",\"op_type\":\"%s\"", op);
	json_array(out, "columns_name", new_image, 'n');
	json_array(out, "columns_type", new_image, 't');
	json_array(out, "columns_val", new_image, 'v');
	json_array(out, "old_keys_name", old_image, 'n');
	json_array(out, "old_keys_type", old_image, 't');
	json_array(out, "old_keys_val", old_image, 'v');
	appendStringInfoChar(out, '}');
}

static void
text_columns(StringInfo out, List *cells)
{
	ListCell   *at;

	foreach(at, cells)
	{
		Cell	   *cell = lfirst(at);

		appendStringInfo(out, " %s[%s]:", cell->name, format_type_be(cell->type));
		literal(out, cell->type, cell->value);
	}
}

static void
text_row(StringInfo out, const char *schema, const char *table, const char *op, List *new_image, List *old_image)
{
	appendStringInfo(out, "table %s %s %s:", schema, table, op);
	if (new_image == NIL && old_image == NIL)
		appendStringInfoString(out, " (no-tuple-data)");
	else if (new_image != NIL && old_image != NIL)
	{
		appendStringInfoString(out, " old-key:");
		text_columns(out, old_image);
		appendStringInfoString(out, " new-tuple:");
		text_columns(out, new_image);
	}
	else
		text_columns(out, new_image != NIL ? new_image : old_image);
}

static void
binary_name(StringInfo out, const char *name)
{
	put16(out, (uint16) strlen(name));
	appendStringInfoString(out, name);
}

static void
binary_image(StringInfo out, char kind, List *cells)
{
	ListCell   *at;

	if (cells == NIL)
		return;
	appendStringInfoChar(out, kind);
	put16(out, (uint16) list_length(cells));
	foreach(at, cells)
	{
		Cell	   *cell = lfirst(at);

		binary_name(out, cell->name);
		put32(out, cell->type);
		put32(out, cell->value ? (uint32) strlen(cell->value) : PG_UINT32_MAX);
		if (cell->value)
			appendStringInfoString(out, cell->value);
	}
}

/* The table rows are written under: of a partition the table at the root. */
static Oid
shown_table(Relation relation)
{
	List	   *ancestors;

	if (!relation->rd_rel->relispartition)
		return RelationGetRelid(relation);
	ancestors = get_partition_ancestors(RelationGetRelid(relation));
	return llast_oid(ancestors);
}

static bool
is_listed(Plugin *plugin, const char *schema, const char *table)
{
	ListCell   *at;

	if (plugin->white_list == NIL)
		return true;
	foreach(at, plugin->white_list)
	{
		const char *entry = lfirst(at);
		const char *dot = strchr(entry, '.');
		size_t		length = dot - entry;
		bool		same_schema = strncmp(entry, "*.", 2) == 0 ||
			(length == strlen(schema) && strncmp(entry, schema, length) == 0);

		if (same_schema && (strcmp(dot + 1, table) == 0 || strcmp(dot + 1, "*") == 0))
			return true;
	}
	return false;
}

#if PG_VERSION_NUM >= 170000
#define TUPLE(tuple) (tuple)
#else
#define TUPLE(buffer) ((buffer) ? &(buffer)->tuple : NULL)
#endif

static void
change(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, Relation relation, ReorderBufferChange *change)
{
	Plugin	   *plugin = ctx->output_plugin_private;
	MemoryContext old = MemoryContextSwitchTo(plugin->scratch);
	Oid			shown = shown_table(relation);
	const char *schema = get_namespace_name(get_rel_namespace(shown));
	const char *table = get_rel_name(shown);
	HeapTuple	new_tuple = TUPLE(change->data.tp.newtuple);
	HeapTuple	old_tuple = TUPLE(change->data.tp.oldtuple);
	char		identity = relation->rd_rel->relreplident;
	Bitmapset  *key = identity == REPLICA_IDENTITY_FULL ? NULL : RelationGetIdentityKeyBitmap(relation);
	List	   *new_image = NIL;
	List	   *old_image = NIL;
	const char *op = "INSERT";
	StringInfoData out;

	if (is_listed(plugin, schema, table))
	{
		if (!((Written *) txn->output_plugin_private)->began)
		{
			begin_transaction(ctx, txn, false);
			MemoryContextSwitchTo(plugin->scratch);
			schema = get_namespace_name(get_rel_namespace(shown));
			table = get_rel_name(shown);
			key = identity == REPLICA_IDENTITY_FULL ? NULL : RelationGetIdentityKeyBitmap(relation);
		}
		if (change->action == REORDER_BUFFER_CHANGE_UPDATE)
			op = "UPDATE";
		else if (change->action == REORDER_BUFFER_CHANGE_DELETE)
			op = "DELETE";
		new_image = image(relation, new_tuple, NULL);
		/* An update has its key on the old side also where it is unchanged, which PostgreSQL leaves out of the WAL. */
		if (change->action == REORDER_BUFFER_CHANGE_UPDATE && old_tuple == NULL && key)
			old_tuple = new_tuple;
		if (change->action != REORDER_BUFFER_CHANGE_INSERT && (key || identity == REPLICA_IDENTITY_FULL))
			old_image = image(relation, old_tuple, key);
		initStringInfo(&out);
		if (plugin->style == 'b')
		{
			appendStringInfoChar(&out, *op);
			binary_name(&out, schema);
			binary_name(&out, table);
			binary_image(&out, 'N', new_image);
			binary_image(&out, 'O', old_image);
		}
		else if (plugin->style == 't')
			text_row(&out, schema, table, op, new_image, old_image);
		else
			json_row(&out, schema, table, op, new_image, old_image);
		record(ctx, change->lsn, &out, true);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(plugin->scratch);
}

/* Serial decoding has a line for TRUNCATE, which no white list filters; the parallel styles have none. */
static void
truncate_tables(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, int count, Relation relations[],
				ReorderBufferChange *change)
{
	Plugin	   *plugin = ctx->output_plugin_private;
	MemoryContext old;
	StringInfoData out;

	if (plugin->style)
		return;
	if (!((Written *) txn->output_plugin_private)->began)
		begin_transaction(ctx, txn, false);
	old = MemoryContextSwitchTo(plugin->scratch);
	initStringInfo(&out);
	appendStringInfoString(&out, "table ");
	for (int n = 0; n < count; n++)
		appendStringInfo(&out, "%s%s", n ? ", " : "",
						 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relations[n])),
													RelationGetRelationName(relations[n])));
	appendStringInfoString(&out, ": TRUNCATE:");
	if (!change->data.truncate.restart_seqs && !change->data.truncate.cascade)
		appendStringInfoString(&out, " (no-flags)");
	if (change->data.truncate.restart_seqs)
		appendStringInfoString(&out, " restart_seqs");
	if (change->data.truncate.cascade)
		appendStringInfoString(&out, " cascade");
	record(ctx, change->lsn, &out, true);
	MemoryContextSwitchTo(old);
	MemoryContextReset(plugin->scratch);
}

void
_PG_output_plugin_init(OutputPluginCallbacks *cb)
{
	cb->startup_cb = startup;
	cb->begin_cb = begin;
	cb->change_cb = change;
	cb->truncate_cb = truncate_tables;
	cb->commit_cb = commit;
	cb->filter_by_origin_cb = filter_origin;
}
