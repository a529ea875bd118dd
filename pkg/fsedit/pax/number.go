package pax

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// text is a field up to its first NUL.
func text(field []byte) string {
	if i := bytes.IndexByte(field, 0); i >= 0 {
		field = field[:i]
	}
	return string(field)
}

// parseNumber reads octal text, or a binary number of GNU tar. An empty field is 0.
func parseNumber(field []byte) (int64, error) {
	if field[0]&0x80 != 0 {
		return parseBinary(field)
	}
	s := strings.Trim(text(field), " ")
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 8, 63)
	if err != nil {
		return 0, ondisk.Because(ondisk.ErrCorrupt, "%q is no octal number", s)
	}
	return int64(n), nil
}

// parseBinary reads a two's complement number, big-endian, whose first byte has
// the mark in its top bit.
func parseBinary(field []byte) (int64, error) {
	n := int64(int8(field[0]<<1)) >> 1 // the sign is the bit after the mark
	for _, c := range field[1:] {
		if n > math.MaxInt64>>8 || n < math.MinInt64>>8 {
			return 0, ondisk.Because(ondisk.ErrCorrupt, "a number of more than 64 bits")
		}
		n = n<<8 | int64(c)
	}
	return n, nil
}

// putNumber writes octal text with a final NUL, or where that does not fit the
// binary form.
func putNumber(field []byte, n int64) {
	digits := len(field) - 1
	if n >= 0 && n < 1<<(3*digits) {
		copy(field, fmt.Sprintf("%0*o\x00", digits, n))
		return
	}
	for i := len(field) - 1; i >= 0; i-- {
		field[i] = byte(n)
		n >>= 8
	}
	field[0] |= 0x80
}

// fits reports whether putNumber writes octal text, which every tar reads.
func fits(field []byte, n int64) bool { return n >= 0 && n < 1<<(3*(len(field)-1)) }

// formatTime is the decimal number of seconds since 1970, exactly.
func formatTime(t time.Time) string {
	sec, nsec := t.Unix(), int64(t.Nanosecond())
	if nsec == 0 {
		return strconv.FormatInt(sec, 10)
	}
	sign := ""
	if sec < 0 {
		sign, sec, nsec = "-", -(sec + 1), 1e9-nsec
	}
	return strings.TrimRight(fmt.Sprintf("%s%d.%09d", sign, sec, nsec), "0")
}

// parseTime reads a decimal number of seconds; digits behind the ninth do not
// count.
func parseTime(s string) (time.Time, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(fraction) > 0 && strings.Trim(fraction, "0123456789") != "" {
		return time.Time{}, ondisk.Because(ondisk.ErrCorrupt, "%q is no time", s)
	}
	nsec, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	if strings.HasPrefix(whole, "-") {
		nsec = -nsec
	}
	return time.Unix(sec, nsec), nil
}
