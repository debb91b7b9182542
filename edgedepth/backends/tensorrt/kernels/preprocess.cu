// A frame becomes the network's image tensor in one pass: resize, crop or pad, colour order, normalisation, layout.
//
// Each axis comes as a table of taps: content pixel n is the weighted sum of `count` neighbours from `first[n]` on. The
// tables are all that differs between bilinear, area, stretch, letterbox and centre crop. The sum is rounded to a byte
// and `values` says what that byte is in the tensor, in the tensor's own type: so the numbers are those of the CPU path.
// No header is included: NVRTC and nvcc compile this alone, and so does a C++ compiler that is told what threads are.

struct Job {
    const unsigned char* frame;  // RGB, rows of `pitch` bytes
    void* tensor;
    const void* values;          // 256 x 3: of each byte, for each channel of the tensor
    const int* first_x;          // frame column of the first tap, for each content column
    const float* weights_x;      // content width x count_x
    const int* first_y;
    const float* weights_y;
    int pitch;
    int count_x, count_y;
    int left, top, width, height;  // the content within the tensor's image; the rest is padding
    int tensor_width, tensor_height;
    int pixel_step, channel_step;  // elements between neighbouring pixels, and between channels
    int swap;                      // 1: the tensor is BGR
    int padding;                   // the byte outside the content
};

template <typename Element>
__device__ void preprocess(const Job& job) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= job.tensor_width || y >= job.tensor_height) return;

    int pixel[3] = {job.padding, job.padding, job.padding};
    const int u = x - job.left, v = y - job.top;
    if (u >= 0 && u < job.width && v >= 0 && v < job.height) {
        const float* weights_x = job.weights_x + (long long)u * job.count_x;
        const float* weights_y = job.weights_y + (long long)v * job.count_y;
        const unsigned char* row = job.frame + (long long)job.first_y[v] * job.pitch + 3 * job.first_x[u];
        float r = 0.0f, g = 0.0f, b = 0.0f;
        for (int j = 0; j < job.count_y; ++j, row += job.pitch) {
            float row_r = 0.0f, row_g = 0.0f, row_b = 0.0f;
            for (int i = 0; i < job.count_x; ++i) {
                const float weight = weights_x[i];
                row_r += weight * row[3 * i];
                row_g += weight * row[3 * i + 1];
                row_b += weight * row[3 * i + 2];
            }
            const float weight = weights_y[j];
            r += weight * row_r;
            g += weight * row_g;
            b += weight * row_b;
        }
        // Weights sum to 1, so the sums are within 0..255 but for rounding.
        pixel[0] = (int)(r + 0.5f);
        pixel[1] = (int)(g + 0.5f);
        pixel[2] = (int)(b + 0.5f);
    }

    const Element* values = (const Element*)job.values;
    Element* target = (Element*)job.tensor + ((long long)y * job.tensor_width + x) * job.pixel_step;
    for (int channel = 0; channel < 3; ++channel) {
        const int byte = pixel[job.swap ? 2 - channel : channel];
        target[(long long)channel * job.channel_step] = values[3 * byte + channel];
    }
}

// By the size of an element; its bits are copied, so the type is not asked for.
extern "C" __global__ void preprocess_1(const Job job) { preprocess<unsigned char>(job); }
extern "C" __global__ void preprocess_2(const Job job) { preprocess<unsigned short>(job); }
extern "C" __global__ void preprocess_4(const Job job) { preprocess<unsigned int>(job); }
