package recording

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// mended is file with the checksums that its blocks ought to have.
func mended(file []byte) []byte {
	file = bytes.Clone(file)
	for at := 0; ; {
		i := bytes.Index(file[at:], []byte(marker))
		if i < 0 || at+i+headerLen > len(file) {
			return file
		}
		at += i
		b := file[at:]
		end := min(uint64(len(b)), headerLen+uint64(binary.LittleEndian.Uint32(b[12:])))
		binary.LittleEndian.PutUint32(b[16:], crc32.Checksum(b[headerLen:end], castagnoli))
		binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:headerLen], castagnoli))
		at += len(marker)
	}
}
