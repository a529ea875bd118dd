package kmod

// match reports whether a shell pattern, as fnmatch(3) without flags reads it,
// matches the whole of s. It goes back to the last star only, so it is at
// worst of quadratic time.
func match(pattern, s string) bool {
	p, i := 0, 0
	star, resume := -1, 0
	for i < len(s) || p < len(pattern) {
		if p < len(pattern) {
			if pattern[p] == '*' {
				star, resume = p, i
				p++
				continue
			}
			if i < len(s) {
				if n := matchOne(pattern[p:], s[i]); n > 0 {
					p += n
					i++
					continue
				}
			}
		}
		if star < 0 || resume >= len(s) {
			return false
		}
		resume++
		p, i = star+1, resume
	}
	return true
}

// matchOne matches one character; it returns the length of the pattern's part
// that did, or 0.
func matchOne(pattern string, c byte) int {
	switch pattern[0] {
	case '?':
		return 1
	case '[':
		if n, ok := matchSet(pattern, c); n > 0 {
			if ok {
				return n
			}
			return 0
		}
	case '\\':
		if len(pattern) > 1 {
			if pattern[1] == c {
				return 2
			}
			return 0
		}
	}
	if pattern[0] == c {
		return 1
	}
	return 0
}

// matchSet matches a bracket expression; its length is 0 when it has no end.
func matchSet(pattern string, c byte) (n int, ok bool) {
	i := 1
	negate := i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^')
	if negate {
		i++
	}
	for first := true; i < len(pattern) && (first || pattern[i] != ']'); first = false {
		low := pattern[i]
		high := low
		i++
		if i+1 < len(pattern) && pattern[i] == '-' && pattern[i+1] != ']' {
			high = pattern[i+1]
			i += 2
		}
		if low <= c && c <= high {
			ok = true
		}
	}
	if i >= len(pattern) {
		return 0, false
	}
	return i + 1, ok != negate
}
