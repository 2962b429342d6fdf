/** Has a call in flight and nothing else: it must wait for the answer. */
import { Wrapper } from 'credential-rotation';
import { SimulatedEndpoint } from 'credential-rotation/testing';

const endpoint = new SimulatedEndpoint({ default: [{ delay_ms: 300, text: 'late' }] });
const wrapper = new Wrapper({
  baseUrl: endpoint.openaiUrl,
  model: 'sim-1',
  credentials: [{ id: 'a', secret: 'sk-secret-a' }],
});
void wrapper.call('hello').then((outcome) => {
  console.log(outcome.output);
});
