package fat

import "time"

// FAT stores the local time of whoever wrote it, and not its zone. It is read
// as UTC here, which is what Linux does with tz=UTC, and what keeps a conversion
// independent of where it runs.

var (
	firstTime = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(2107, 12, 31, 23, 59, 58, 0, time.UTC)
)

// readTime decodes a date, a time of day in units of 2 s, and units of 10 ms.
// Months and days that are no such are clamped.
func readTime(date, clock uint16, tenths uint8) time.Time {
	year, month, day := 1980+int(date>>9), int(date>>5&0xF), int(date&0x1F)
	month, day = min(max(month, 1), 12), max(day, 1)
	t := time.Date(year, time.Month(month), day, int(clock>>11), int(clock>>5&0x3F), int(clock&0x1F)*2, 0, time.UTC)
	return t.Add(time.Duration(tenths) * 10 * time.Millisecond)
}

// writeTime is the reverse; times that FAT cannot say become the nearest.
func writeTime(t time.Time) (date, clock uint16, tenths uint8) {
	t = t.UTC()
	if t.Before(firstTime) {
		t = firstTime
	}
	if t.After(lastTime) {
		t = lastTime
	}
	date = uint16(t.Year()-1980)<<9 | uint16(t.Month())<<5 | uint16(t.Day())
	clock = uint16(t.Hour())<<11 | uint16(t.Minute())<<5 | uint16(t.Second()/2)
	return date, clock, uint8(t.Second()%2*100 + t.Nanosecond()/1e7)
}
