package vmdef

import (
	"math"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// unitWords are the units of OVF 0.9 and of early 1.0 producers.
var unitWords = map[string]int64{
	"byte": 1, "bytes": 1, "b": 1,
	"kilobytes": 1 << 10, "kilobyte": 1 << 10, "kb": 1 << 10,
	"megabytes": 1 << 20, "megabyte": 1 << 20, "mb": 1 << 20,
	"gigabytes": 1 << 30, "gigabyte": 1 << 30, "gb": 1 << 30,
	"terabytes": 1 << 40, "terabyte": 1 << 40, "tb": 1 << 40,
}

// parseUnits is the number of bytes in a programmatic unit (DSP0004, annex C):
// "byte * 2^30", "byte * 1024 * 1024", or one of the old words.
func parseUnits(s string) (int64, bool) {
	scale := int64(1)
	for i, factor := range strings.Split(strings.ToLower(s), "*") {
		factor = strings.TrimSpace(factor)
		n, ok := unitWords[factor]
		if !ok && i > 0 {
			n, ok = parsePower(factor)
		}
		if ok {
			scale, ok = ondisk.MulOK(scale, n)
		}
		if !ok {
			return 0, false
		}
	}
	return scale, scale > 0
}

// parsePower is "1024" or "2^10".
func parsePower(s string) (int64, bool) {
	base, exponent, isPower := strings.Cut(s, "^")
	n, err := strconv.ParseInt(strings.TrimSpace(base), 10, 64)
	if err != nil || n < 0 {
		return 0, false
	}
	if !isPower {
		return n, true
	}
	e, err := strconv.Atoi(strings.TrimSpace(exponent))
	if err != nil || e < 0 || e > 62 {
		return 0, false
	}
	result, ok := int64(1), true
	for range e {
		if result, ok = ondisk.MulOK(result, n); !ok {
			return 0, false
		}
	}
	return result, true
}

// size is a number of bytes out of a value and its unit. An absent value is 0,
// and one that cannot be understood is 0 with a warning.
func (r *ovfReader) size(e *element, what, value, units string, scale int64) int64 {
	if value == "" {
		return 0
	}
	ok := true
	if units != "" {
		scale, ok = parseUnits(units)
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if f, ferr := strconv.ParseFloat(value, 64); err != nil && ferr == nil && f >= 0 && f < math.MaxInt64 {
		n, err = int64(f), nil // "4.0E9", from producers that count in floating point
	}
	if err == nil && ok {
		n, ok = ondisk.MulOK(n, scale)
	}
	if err != nil || !ok {
		r.warn.add("line %d: %s of %s %s is not understood", e.line, what, short(value), short(units))
		return 0
	}
	return n
}
