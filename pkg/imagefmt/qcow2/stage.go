package qcow2

import "io"

// stage gathers small writes that follow each other into large ones.
type stage struct {
	out io.WriterAt
	buf []byte
	off int64
}

// stageSize is the most that is gathered; what is a quarter of it goes straight out.
const stageSize = 1 << 20

func (s *stage) put(p []byte, off int64) error {
	if off != s.off+int64(len(s.buf)) || len(s.buf)+len(p) > stageSize {
		if err := s.flush(); err != nil {
			return err
		}
		s.off = off
	}
	if len(s.buf) == 0 && len(p) >= stageSize/4 {
		_, err := s.out.WriteAt(p, off)
		s.off = off + int64(len(p))
		return err
	}
	if s.buf == nil {
		s.buf = make([]byte, 0, stageSize)
	}
	s.buf = append(s.buf, p...)
	return nil
}

func (s *stage) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	_, err := s.out.WriteAt(s.buf, s.off)
	s.off += int64(len(s.buf))
	s.buf = s.buf[:0]
	return err
}
