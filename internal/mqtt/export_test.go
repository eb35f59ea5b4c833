package mqtt

// SetBounds replaces the bounds of the hand-over before Run.
func (a *Adapter) SetBounds(count, bytes int) { a.queue = newHandover(count, bytes) }

// FiltersOf is filtersOf.
func FiltersOf(name string) []string { return filtersOf(name) }

// Filters returns what the bindings subscribe to.
func (b Bindings) Filters() []string {
	var names []string
	for _, f := range b.filters() {
		names = append(names, f.name)
	}
	return names
}
