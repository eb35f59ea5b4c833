package store

import (
	"strings"

	"plantgate/internal/mes"
)

// maxRows bounds a list whose filter has no limit.
const maxRows = 1000

// query builds a SELECT from the parts that a filter asks for.
type query struct {
	db         database
	from       string
	conditions []string
	args       []any
	orderBy    []string
	maximum    int
}

func (s *Store) newQuery(from string) *query { return &query{db: s.db, from: from, maximum: maxRows} }

func (q *query) where(condition string, args ...any) {
	q.conditions = append(q.conditions, condition)
	q.args = append(q.args, args...)
}

// equal asks for a value unless it is empty, which means any.
func (q *query) equal(column, value string) {
	if value != "" {
		q.where(column+" = ?", value)
	}
}

// scope keeps to the sites and machines of s.
func (q *query) scope(s mes.Scope, machineColumn string) {
	q.oneOf("site_id", s.Sites)
	q.oneOf(machineColumn, s.Machines)
}

// oneOf keeps to the values of a list unless it is empty.
func (q *query) oneOf(column string, values []string) {
	if len(values) == 0 {
		return
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	q.where(column+" IN (?"+strings.Repeat(", ?", len(values)-1)+")", args...)
}

// beyond begins after (">") or before ("<") a place in the order of the columns.
func (q *query) beyond(columns []string, comparison string, place ...any) {
	condition, bound := q.db.beyond(columns, comparison, place)
	q.where(condition, bound...)
}

func (q *query) order(columns ...string) { q.orderBy = columns }

// limit sets the number of rows; 0 leaves maxRows.
func (q *query) limit(n int) {
	if n > 0 {
		q.maximum = n
	}
}

func (q *query) text() string {
	var b strings.Builder
	b.WriteString(q.from)
	for i, c := range q.conditions {
		if i == 0 {
			b.WriteString(" WHERE ")
		} else {
			b.WriteString(" AND ")
		}
		b.WriteString(c)
	}
	b.WriteString(" ORDER BY ")
	b.WriteString(strings.Join(q.orderBy, ", "))
	b.WriteString(q.db.page(q.maximum))
	return b.String()
}

func (q *query) statement() statement { return portable(q.text()) }
