/** Has everything open and nothing to do: it must exit by itself. */
import { CredentialPool, Wrapper } from 'credential-rotation';
import { SimulatedEndpoint } from 'credential-rotation/testing';

const endpoint = new SimulatedEndpoint();
const credentials = [{ id: 'a', secret: 'sk-secret-a' }];
const wrapper = new Wrapper({ baseUrl: endpoint.openaiUrl, model: 'sim-1', credentials });
const host = new Wrapper({ provider: { send: () => 'yes' }, pool: new CredentialPool({ credentials }) });
(await wrapper.call('hello')).unwrap();
(await host.call('hello')).unwrap();
const stream = wrapper.stream('hello');
await stream.next();
console.log('idle');
