package store

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/mesdata"
	"plantgate/migrations"
)

// statements are all that may be sent, by their names in this package.
// TestEveryStatementIsLinted compares them with the source.
var statements = map[string]statement{
	"apiKeyByID":           apiKeyByID,
	"apiKeyByPrefix":       apiKeyByPrefix,
	"apiKeys":              apiKeys,
	"applied":              applied,
	"arrivalsOfLane":       arrivalsOfLane,
	"auditByID":            auditByID,
	"begin":                begin,
	"boundOfExpired":       boundOfExpired,
	"claimLease":           claimLease,
	"clearMark":            clearMark,
	"columnsBefore":        columnsBefore,
	"commit":               commit,
	"deleteArrivals":       deleteArrivals,
	"deleteExpired":        deleteExpired,
	"deliveriesByName":     deliveriesByName,
	"deliveryByName":       deliveryByName,
	"doNotWaitForDisk":     doNotWaitForDisk,
	"dueMinutes":           dueMinutes,
	"editionOfServer":      editionOfServer,
	"equipmentByID":        equipmentByID,
	"equipmentOfLevel":     equipmentOfLevel,
	"expireAPIKey":         expireAPIKey,
	"finishAudit":          finishAudit,
	"forgetDelivery":       forgetDelivery,
	"forgetOfConnections":  forgetOfConnections,
	"noteEpoch":            noteEpoch,
	"epochBegan":           epochBegan,
	"forgetEpochs":         forgetEpochs,
	"forgetNames":          forgetNames,
	"hasRecordAt":          hasRecordAt,
	"hasRecordNear":        hasRecordNear,
	"hasRowID":             hasRowID,
	"insertAPIKey":         insertAPIKey,
	"insertArrival":        insertArrival,
	"insertAudit":          insertAudit,
	"insertOrigin":         insertOrigin,
	"connectionDeliveries": connectionDeliveries,
	"keepDelivery":         keepDelivery,
	"insertQuarantine":     insertQuarantine,
	"insertRecord":         insertRecord,
	"insertRollup":         insertRollup,
	"insertSite":           insertSite,
	"lastTimeOfUnit":       lastTimeOfUnit,
	"latestOfSignal":       latestOfSignal,
	"leasesBetween":        leasesBetween,
	"makeLease":            makeLease,
	"markMinute":           markMinute,
	"newestArrival":        newestArrival,
	"newestVersion":        newestVersion,
	"nextPosition":         nextPosition,
	"nextUnit":             nextUnit,
	"noteApplied":          noteApplied,
	"noteSighting":         noteSighting,
	"numberOfUnit":         numberOfUnit,
	"numberUnit":           numberUnit,
	"numbersOfUnits":       numbersOfUnits,
	"oldestArrival":        oldestArrival,
	"oldestDue":            oldestDue,
	"originByName":         originByName,
	"originByNumber":       originByNumber,
	"ownerOfName":          ownerOfName,
	"ping":                 ping,
	"proveLease":           proveLease,
	"putDelivery":          putDelivery,
	"putLatest":            putLatest,
	"quarantineItem":       quarantineItem,
	"quarantineList":       quarantineList,
	"quarantineState":      quarantineState,
	"readings":             readings,
	"recordByID":           recordByID,
	"recordByTime":         recordByTime,
	"recordsByID":          recordsByID,
	"registerNew":          registerNew,
	"registerUnit":         registerUnit,
	"releaseLease":         releaseLease,
	"renameReports":        renameReports,
	"renewLease":           renewLease,
	"resolveQuarantine":    resolveQuarantine,
	"resumeLease":          resumeLease,
	"revokeAPIKey":         revokeAPIKey,
	"birthsOfConnection":   birthsOfConnection,
	"replaceBirth":         replaceBirth,
	"insertBirth":          insertBirth,
	"notesOfConnection":    notesOfConnection,
	"replaceNote":          replaceNote,
	"insertNote":           insertNote,
	"dropBirth":            dropBirth,
	"cursorsOfConnection":  cursorsOfConnection,
	"putCursor":            putCursor,
	"rollback":             rollback,
	"rollupBlock":          rollupBlock,
	"rollups":              rollups,
	"rollupsWithSketches":  rollupsWithSketches,
	"snapshotsAfter":       snapshotsAfter,
	"tableExists":          tableExists,
	"uncompressed":         uncompressed,
	"unitByNumber":         unitByNumber,
	"updateRollup":         updateRollup,
	"updateSite":           updateSite,
	"waitForDisk":          waitForDisk,
	"cancelCommand":        cancelCommand,
	"commandsToAnswer":     commandsToAnswer,
	"replyToCommands":      replyToCommands,
	"withdrawAnswered":     withdrawAnswered,
	"commandByID":          commandByID,
	"commandExpired":       commandExpired,
	"commandSent":          commandSent,
	"deleteMessage":        deleteMessage,
	"forgetRequests":       forgetRequests,
	"insertCommand":        insertCommand,
	"insertMessage":        insertMessage,
	"insertRequest":        insertRequest,
	"nextMessages":         nextMessages,
	"replaceRetained":      replaceRetained,
	"requestByKey":         requestByKey,
	"waitingKeys":          waitingKeys,
	"waitingOf":            waitingOf,
	"withdrawMessages":     withdrawMessages,
}

// forbidden is what SQL Server or another server that speaks its language does not have,
// and what does not do there what it says.
var forbidden = map[string]*regexp.Regexp{
	"MERGE":               regexp.MustCompile(`\bMERGE\b`),
	"JSON_MODIFY":         regexp.MustCompile(`\bJSON_MODIFY\b`),
	"PERCENTILE_CONT":     regexp.MustCompile(`\bPERCENTILE_CONT\b`),
	"common table":        regexp.MustCompile(`\bWITH\s+\w+\s+AS\s*\(`),
	"CREATE OR ALTER":     regexp.MustCompile(`\bCREATE\s+OR\s+ALTER\b`),
	"ALTER VIEW":          regexp.MustCompile(`\bALTER\s+VIEW\b`),
	"inline INDEX":        regexp.MustCompile(`(?s)CREATE\s+TABLE[^;]*,\s*INDEX\s`),
	"WITH TIES":           regexp.MustCompile(`\bWITH\s+TIES\b`),
	"WAITFOR":             regexp.MustCompile(`\bWAITFOR\b`),
	"partition":           regexp.MustCompile(`\bPARTITION\b\s*(FUNCTION|SCHEME|\d)|\b(SPLIT|SWITCH)\b`),
	"lock hint":           regexp.MustCompile(`\b(UPDLOCK|HOLDLOCK|READPAST|TABLOCKX?|ROWLOCK|NOLOCK|XLOCK|SERIALIZABLE)\b`),
	"||":                  regexp.MustCompile(`\|\|`),
	"LIMIT":               regexp.MustCompile(`\bLIMIT\b`),
	"RETURNING":           regexp.MustCompile(`\bRETURNING\b`),
	"TRUE or FALSE":       regexp.MustCompile(`\b(TRUE|FALSE)\b`),
	"::":                  regexp.MustCompile(`::`),
	"ON CONFLICT":         regexp.MustCompile(`\bON\s+CONFLICT\b`),
	"INDEXED BY":          regexp.MustCompile(`\bINDEXED\s+BY\b`),
	"UNIQUEIDENTIFIER":    regexp.MustCompile(`(?m)^\s*\w+\s+UNIQUEIDENTIFIER\b`),
	"row comparison":      regexp.MustCompile(`\)\s*[<>]=?\s*\(\s*(@P\d+|\?)`),
	"unnumbered argument": regexp.MustCompile(`\?`),
	"EXCLUDED":            regexp.MustCompile(`\bEXCLUDED\.`),
	"STRICT":              regexp.MustCompile(`\)\s*STRICT\b`),
	"scalar MIN or MAX":   regexp.MustCompile(`\b(MIN|MAX)\([^()]*,`),
	"binary sum":          regexp.MustCompile(`AS BINARY\(\d+\)\)\s*\+`),
	"binary style":        regexp.MustCompile(`CONVERT\((VAR)?(BINARY|CHAR)\([^)]*\)[^)]*,\s*[12]\)`),
	"OUTPUT of a join":    regexp.MustCompile(`(?s)UPDATE\s+\w+\s+SET.*OUTPUT\s+DELETED`),
}

const maxParameters = 2098

var parameter = regexp.MustCompile(`@p(\d+)`)

// lint tells what is wrong with a statement of T-SQL.
func lint(text string) []string {
	upper := strings.ToUpper(withoutTexts(text))
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(forbidden)) {
		if m := forbidden[name].FindString(upper); m != "" {
			faults = append(faults, fmt.Sprintf("%s: %q", name, m))
		}
	}
	if n := len(parameter.FindAllString(text, -1)); n > maxParameters {
		faults = append(faults, fmt.Sprintf("%d parameters", n))
	}
	return faults
}

var quotedText = regexp.MustCompile(`'[^']*'|--[^\n]*`)

// withoutTexts leaves out what stands in quotes, and comments.
func withoutTexts(sql string) string { return quotedText.ReplaceAllString(sql, "''") }

// statementNames are the variables of this package that hold statements, and their
// values as far as they are found in everyStatement.
func statementNames(t *testing.T) []string {
	t.Helper()
	var names []string
	files, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, spec := range gen.Specs {
				v := spec.(*ast.ValueSpec)
				for i, value := range v.Values {
					if isStatement(value) {
						names = append(names, v.Names[i].Name)
					}
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

func isStatement(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.CompositeLit:
		id, ok := e.Type.(*ast.Ident)
		return ok && id.Name == "statement"
	case *ast.CallExpr:
		id, ok := e.Fun.(*ast.Ident)
		return ok && id.Name == "portable"
	}
	return false
}

// TestStatementsOfSQLServer holds every statement, every query that is built and every
// step of the schema to what may be written.
func TestStatementsOfSQLServer(t *testing.T) {
	t.Parallel()
	texts := map[string]string{"insertArriving": insertArriving(0, false), "insertArriving at once": insertArriving(3, true), "deliveries": insertDeliveries(deliveriesAtOnce).sqlserver, "takeSchema": takeSchema, "unlockSchema": unlockSchema, "rebuildCompressed": rebuildCompressed,
		"quarantinedAmong": quarantinedAmong(1).sqlserver}
	for name, s := range statements {
		if s.sqlserver != "" {
			texts[name] = s.sqlserver
		}
	}
	for i, q := range builtQueries() {
		texts[fmt.Sprintf("query %d", i)] = q
	}
	files, err := fs.Glob(migrations.SQLServer, "sqlserver/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		raw, err := fs.ReadFile(migrations.SQLServer, file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(raw)
	}
	for name, text := range texts {
		for _, fault := range lint(text) {
			t.Errorf("%s: %s", name, fault)
		}
	}
}

// TestEveryStatementIsLinted finds statements that the lint does not look at.
func TestEveryStatementIsLinted(t *testing.T) {
	t.Parallel()
	listed := slices.Sorted(maps.Keys(statements))
	if found := statementNames(t); !slices.Equal(found, listed) {
		t.Errorf("the source has the statements\n%v\nand the list\n%v", found, listed)
	}
}

// TestLintCanFail gives it one of each.
func TestLintCanFail(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"MERGE": "MERGE INTO t USING s ON 1=1", "JSON_MODIFY": "SELECT JSON_MODIFY(a, '$', 1)",
		"PERCENTILE_CONT": "SELECT PERCENTILE_CONT(0.5)", "common table": "WITH x AS (SELECT 1) DELETE FROM x",
		"CREATE OR ALTER": "create or alter view v as select 1", "ALTER VIEW": "ALTER VIEW v AS SELECT 1",
		"inline INDEX": "CREATE TABLE t (a INT, INDEX i (a));", "WITH TIES": "SELECT TOP (1) WITH TIES a FROM t",
		"WAITFOR": "WAITFOR DELAY ''", "partition": "ALTER TABLE t SWITCH PARTITION 1 TO u",
		"lock hint": "SELECT a FROM t WITH (UPDLOCK)", "||": "SELECT a || b", "LIMIT": "SELECT a LIMIT 1",
		"RETURNING": "INSERT INTO t VALUES (1) RETURNING a", "TRUE or FALSE": "SELECT a WHERE b = TRUE", "::": "SELECT a::int",
		"ON CONFLICT": "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", "INDEXED BY": "SELECT a FROM t INDEXED BY i",
		"UNIQUEIDENTIFIER": "CREATE TABLE t (\n  id UNIQUEIDENTIFIER)", "row comparison": "WHERE (a, b) > (@p1, @p2)",
		"unnumbered argument": "WHERE a = ?", "EXCLUDED": "SET a = excluded.a", "STRICT": "CREATE TABLE t (a INT) STRICT",
		"scalar MIN or MAX": "SELECT MAX(a, b)", "binary sum": "CAST(a AS BINARY(16)) + b", "binary style": "CONVERT(BINARY(16), a, 2)",
		"OUTPUT of a join": "UPDATE t SET a = 1 OUTPUT deleted.a FROM t JOIN u ON 1=1",
	} {
		found := false
		for _, fault := range lint(text) {
			found = found || strings.HasPrefix(fault, name+":")
		}
		if !found {
			t.Errorf("%s passes: %s", name, text)
		}
		delete(forbiddenLeft, name)
	}
	if len(lint(insertDeliveries(300).sqlserver)) == 0 {
		t.Error("too many parameters pass")
	}
	for name := range forbidden {
		if _, untried := forbiddenLeft[name]; untried {
			t.Errorf("%s was not tried", name)
		}
	}
}

var forbiddenLeft = maps.Clone(forbidden)

// builtQueries are lists with every filter that they have, as SQL Server gets them.
func builtQueries() []string {
	s := &Store{db: &sqlServerDB{}}
	at := time.Now()
	scope := mes.Scope{Sites: []string{"a", "b"}, Machines: []string{"c", "d"}}
	var list []string
	for _, f := range []mes.RecordFilter{
		{},
		{SiteID: "s", MachineID: "m", DataType: mes.Quality, Door: mes.DoorMQTT, Status: mes.Idle, From: at, To: at, Scope: scope},
		{After: &mes.Position{Time: at}, Descending: true, Limit: 10},
		{After: &mes.Position{Time: at}, From: at, To: at},
	} {
		for _, unit := range []int64{0, 1} {
			list = append(list, s.recordQuery(f, unit).statement().sqlserver)
		}
	}
	return append(list, queriesBefore()...)
}

// queriesBefore are those of tables of older installations.
func queriesBefore() []string {
	list := []string{differentBefore("t", "Id")}
	for _, key := range []int64{0, 1} {
		for _, kind := range []string{"nvarchar", "varbinary", "datetime2"} {
			db := &sqlServerDB{}
			t := &tableBefore{layout: mesdata.Layout{Table: "t]"}}
			columns := []columnBefore{{"a", "int", key}, {"b", "nvarchar", 0}, {"c", kind, 0}}
			if err := db.tableBefore(context.Background(), t, columns, chosenColumns{columns[1], columns[2], columns[1], columns[1], columns[2]}); err != nil {
				panic(err)
			}
			list = append(list, t.query+t.after+t.order+db.page(pageBefore), t.query+t.order)
		}
	}
	return list
}
