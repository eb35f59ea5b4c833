package mes

// JSONDepth is how deep objects and arrays are nested in a JSON value: 0 of a scalar, 1 of
// an object of scalars. However deep that is, it takes no memory. Of what is no JSON it says
// nothing.
func JSONDepth(value []byte) int {
	depth, deepest := 0, 0
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		case '"':
			for i++; i < len(value) && value[i] != '"'; i++ {
				if value[i] == '\\' {
					i++
				}
			}
		}
	}
	return deepest
}
