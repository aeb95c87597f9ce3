package io.github.messageproxy;

import com.google.protobuf.ByteString;
import java.util.Objects;

/** One entry of a message's headers. Headers keep their order, and keys may repeat. Immutable. */
public final class Header {
    private final String key;
    private final ByteString value; // null: absent

    /**
     * Makes a header. The value is copied.
     *
     * @param key must not be null, and must be valid Unicode (no lone surrogates) to be produced
     * @param value may be null, which is another value than empty
     * @throws MessageProxyException with {@link Code#INVALID_ARGUMENT} if the key is null
     */
    public Header(String key, byte[] value) {
        this(key, value == null ? null : ByteString.copyFrom(value));
    }

    Header(String key, ByteString value) {
        if (key == null) {
            throw Errors.badOption("header", "the key is null");
        }
        this.key = key;
        this.value = value;
    }

    /**
     * The key.
     *
     * @return the key; never null
     */
    public String key() {
        return key;
    }

    /**
     * The value.
     *
     * @return a copy of the value; null if it is absent
     */
    public byte[] value() {
        return value == null ? null : value.toByteArray();
    }

    ByteString valueBytes() {
        return value;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Header that && key.equals(that.key) && Objects.equals(value, that.value);
    }

    @Override
    public int hashCode() {
        return Objects.hash(key, value);
    }

    /** Names the key; a value is never shown, so that none gets into a log by accident. */
    @Override
    public String toString() {
        return "Header[" + key + "]";
    }
}
